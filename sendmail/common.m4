divert(-1)
#
# common.m4: settings of both incoming.mc and delivery.mc, which include it right after cf.m4.
#
# Further settings of a site (dnsbl, limits, masquerading, procmail) belong in SITE_INCOMING or SITE_DELIVERY: files with
# m4 lines that are read before the mailers.
#
include(SITE_HERE`/settings.m4')
SITE_DEFAULT(`SITE_INCOMING_QUEUE', `/var/spool/mqueue')dnl
SITE_DEFAULT(`SITE_TRUSTED_USER', `smmta')dnl
SITE_DEFAULT(`SITE_INCOMING_PID', `/run/sendmail/mta/sendmail.pid')dnl
divert(0)dnl
OSTYPE(SITE_OSTYPE)dnl
define(`MAIL_SETTINGS_DIR', `SITE_MAIL_FOLDER/')dnl
dnl
dnl On Debian a user of sendmail owns these folders. Unless root trusts that user, sendmail writes no pid file there.
ifelse(SITE_TRUSTED_USER, `', `', `define(`confTRUSTED_USER', `SITE_TRUSTED_USER')')dnl
dnl
dnl Local domains: SITE_DOMAIN and the file local-host-names. Option -o in this file: a missing table counts as empty.
define(`confCW_FILE', `-o SITE_MAIL_FOLDER/local-host-names %[^\#]')dnl
FEATURE(`use_cw_file')dnl
ifdef(`SITE_DOMAIN', `LOCAL_DOMAIN(`SITE_DOMAIN')')dnl
dnl
dnl Both sides expand virtusertable and aliases: incoming to reject unknown users within the session, delivery for mail
dnl that arrives with its original address, a release from quarantine.
FEATURE(`virtusertable', DATABASE_MAP_TYPE `-o SITE_MAIL_FOLDER/virtusertable')dnl

divert(-1)
#
# common.m4: what incoming.mc and delivery.mc share; they include it right after cf.m4.
#
# What a site adds of its own (dnsbl, limits, masquerading, procmail) goes into SITE_INCOMING or SITE_DELIVERY, files of
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
dnl Debian gives its folders to a user of sendmail's, and a root that does not trust him writes no pid file there.
ifelse(SITE_TRUSTED_USER, `', `', `define(`confTRUSTED_USER', `SITE_TRUSTED_USER')')dnl
dnl
dnl Whose mail is local: SITE_DOMAIN and the file local-host-names. -o in this file: what is not there counts as empty.
define(`confCW_FILE', `-o SITE_MAIL_FOLDER/local-host-names %[^\#]')dnl
FEATURE(`use_cw_file')dnl
ifdef(`SITE_DOMAIN', `LOCAL_DOMAIN(`SITE_DOMAIN')')dnl
dnl
dnl Both follow virtusertable and aliases: incoming so that an unknown user is refused inside the session, delivery for
dnl what reaches it as first addressed, a release from quarantine.
FEATURE(`virtusertable', DATABASE_MAP_TYPE `-o SITE_MAIL_FOLDER/virtusertable')dnl

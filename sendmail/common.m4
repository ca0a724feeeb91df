divert(-1)
#
# common.m4: what the incoming and the delivery sendmail share; their .mc files include it right after cf.m4.
#
# A SITE_ name is a default that the Makefile (make SITE_PORT=2525) or `m4 -D' replaces. What a site adds of its own
# (AUTH, TLS, access_db, masquerading) goes into SITE_INCOMING or SITE_DELIVERY, files read before the mailers.
#
define(`SITE_DEFAULT', `ifdef(`$1', `', `define(`$1', `$2')')')
SITE_DEFAULT(`SITE_OSTYPE', `debian')
SITE_DEFAULT(`SITE_LISTEN', `0.0.0.0')
SITE_DEFAULT(`SITE_PORT', `25')
SITE_DEFAULT(`SITE_DELIVERY_LISTEN', `127.0.0.1')
SITE_DEFAULT(`SITE_DELIVERY_HOST', `[127.0.0.1]')
SITE_DEFAULT(`SITE_DELIVERY_PORT', `19000')
SITE_DEFAULT(`SITE_USER_CHECK', `w')
SITE_DEFAULT(`SITE_MILTER', `unix:/run/miltscan/miltscan.sock')
SITE_DEFAULT(`SITE_INCOMING_QUEUE', `/var/spool/mqueue')
SITE_DEFAULT(`SITE_DELIVERY_QUEUE', `/var/spool/mqueuedelivery')
SITE_DEFAULT(`SITE_INCOMING_PID', `/run/sendmail/mta/sendmail.pid')
SITE_DEFAULT(`SITE_DELIVERY_PID', `/run/sendmail/mta/delivery.pid')
divert(0)dnl
OSTYPE(SITE_OSTYPE)dnl
ifdef(`SITE_DOMAIN', `LOCAL_DOMAIN(SITE_DOMAIN)', `FEATURE(`use_cw_file')')dnl
dnl
dnl One listener each, named in its .mc file: by default both would also take port 587.
FEATURE(`no_default_msa')dnl
dnl
dnl SITE_DAEMON(name, address, port). Listen: with the default backlog of 10 a burst of a few messages a second leaves
dnl clients, and the incoming sendmail itself, waiting five minutes for a greeting.
define(`SITE_DAEMON', `DAEMON_OPTIONS(`Family=inet, Name=$1, Addr=$2, Port=$3, Listen=511')')dnl
dnl
dnl A neighbour's failure remembered on disk would be held against it for half an hour after it is back.
undefine(`confHOST_STATUS_DIRECTORY')dnl
dnl
dnl Flag k: the two sendmails have the same name, which without k is "mail loops back to me". A line for each mailer:
dnl none of these names stands for the others.
MODIFY_MAILER_FLAGS(`SMTP', `+k')dnl
MODIFY_MAILER_FLAGS(`ESMTP', `+k')dnl
MODIFY_MAILER_FLAGS(`SMTP8', `+k')dnl
MODIFY_MAILER_FLAGS(`DSMTP', `+k')dnl
MODIFY_MAILER_FLAGS(`RELAY', `+k')dnl
MODIFY_MAILER_FLAGS(`LOCAL', `+k')dnl

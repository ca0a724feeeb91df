divert(-1)
#
# settings.m4: every SITE_ name with its default. The file SITE_FILE has the settings of a site (site.example.m4) and is read
# first. All other files here include this one; it may be included twice.
#
define(`SITE_DEFAULT', `ifdef(`$1', `', `define(`$1', `$2')')')
ifdef(`SITE_FILE', `include(SITE_FILE)')
divert(-1)
SITE_DEFAULT(`SITE_OSTYPE', `debian')
SITE_DEFAULT(`SITE_LISTEN', `0.0.0.0')
SITE_DEFAULT(`SITE_PORT', `25')
SITE_DEFAULT(`SITE_HANDOFF', `tcp')
SITE_DEFAULT(`SITE_PROFILE', `default')
SITE_DEFAULT(`SITE_RUNNERS', ifelse(SITE_PROFILE, `burst', `16', `8'))
SITE_DEFAULT(`SITE_DELIVERY_LISTEN', `127.0.0.1')
SITE_DEFAULT(`SITE_DELIVERY_HOST', `[127.0.0.1]')
SITE_DEFAULT(`SITE_DELIVERY_PORT', `19000')
SITE_DEFAULT(`SITE_DELIVERY_FROM', `127.0.0.1')
SITE_DEFAULT(`SITE_DELIVERY_PROGRAM', `/usr/sbin/sendmail')
SITE_DEFAULT(`SITE_DELIVERY_CF', `/etc/mail/delivery.cf')
SITE_DEFAULT(`SITE_USER_CHECK', `w')
SITE_DEFAULT(`SITE_MILTER', `unix:/run/miltscan/miltscan.sock')
SITE_DEFAULT(`SITE_DELIVERY_MILTER', `none')
SITE_DEFAULT(`SITE_DELIVERY_QUEUE', `/var/spool/mqueuedelivery')
SITE_DEFAULT(`SITE_DELIVERY_PID', `/run/sendmail/mta/delivery.pid')
SITE_DEFAULT(`SITE_AUTH', `off')
SITE_DEFAULT(`SITE_AUTH_MECHANISMS', `PLAIN LOGIN')
SITE_DEFAULT(`SITE_MAIL_FOLDER', `/etc/mail')
#
# Without this check a misspelt profile would silently be the default.
ifelse(SITE_PROFILE, `default', `', SITE_PROFILE, `burst', `',
`errprint(`SITE_PROFILE: 'SITE_PROFILE` is none of: default, burst
')m4exit(1)')
divert(0)dnl

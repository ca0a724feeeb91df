divert(-1)
#
# settings.m4: every SITE_ name with its default. The file SITE_FILE has the settings of a site (site.example.m4) and is read
# first. All other files here include this one; it may be included twice.
#
define(`SITE_DEFAULT', `ifdef(`$1', `', `define(`$1', `$2')')')
ifdef(`SITE_FILE', `include(SITE_FILE)')
divert(-1)
SITE_DEFAULT(`SITE_OSTYPE', `debian')
#
# :: accepts IPv4 as well. A kernel without IPv6 cannot open it, and sendmail would not start. Both addresses together do not
# work: on Linux the second one is in use, and sendmail tries again for 50 seconds before it serves anybody.
SITE_DEFAULT(`SITE_LISTEN', esyscmd(`test -e /proc/net/if_inet6 && printf :: || printf 0.0.0.0'))
SITE_DEFAULT(`SITE_PORT', `25')
SITE_DEFAULT(`SITE_MESSAGE_SIZE', ifdef(`confMAX_MESSAGE_SIZE', `confMAX_MESSAGE_SIZE', `104857600'))
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
#
# A release from quarantine comes from the scanner's host: the address in SITE_MILTER, unless that is this host. A name or
# the socket of a proxy contains no address.
define(`SITE_SCANNER_OF', `ifelse(regexp(`$1', `@\(127\.\|::1$\)'), -1, `ifelse(regexp(`$1', `^inet:[0-9]+@[0-9.]+$'), 0, `regexp(`$1', `@\(.*\)', `\1')', regexp(`$1', `^inet6:[0-9]+@[0-9A-Fa-f:.]+$'), 0, `IPv6:regexp(`$1', `@\(.*\)', `\1')')')')
SITE_DEFAULT(`SITE_SCANNERS', SITE_SCANNER_OF(SITE_MILTER))
SITE_DEFAULT(`SITE_DELIVERY_MILTER', `none')
SITE_DEFAULT(`SITE_DELIVERY_QUEUE', `/var/spool/mqueuedelivery')
SITE_DEFAULT(`SITE_DELIVERY_PID', `/run/sendmail/mta/delivery.pid')
SITE_DEFAULT(`SITE_AUTH', `off')
SITE_DEFAULT(`SITE_AUTH_MECHANISMS', `PLAIN LOGIN')
SITE_DEFAULT(`SITE_MAIL_FOLDER', `/etc/mail')
SITE_DEFAULT(`SITE_SUBMISSION', `off')
SITE_DEFAULT(`SITE_SUBMISSION_PORT', `587')
SITE_DEFAULT(`SITE_SUBMISSIONS_PORT', `465')
#
# Load limits. sendmail compares them with the load of the whole host, not with its own. Its defaults, 12 for each CPU to
# refuse connections, close port 25 because of a backup or a compiler. At 32 for each CPU a scan that needs a second of CPU
# time still ends within limits.scan_timeout (60 s); beyond that a refused client, which tries again, is better off than one
# whose scan times out. Delivery refuses later than incoming, which could not hand over what it accepted otherwise. The
# limit for the handoff (QueueLA) is above both for the same reason.
SITE_DEFAULT(`SITE_CPUS', esyscmd(`getconf _NPROCESSORS_ONLN | tr -d "\n"'))
SITE_DEFAULT(`SITE_REFUSE_LA', ifdef(`confREFUSE_LA', `confREFUSE_LA', `eval(32 * SITE_CPUS)'))
SITE_DEFAULT(`SITE_DELIVERY_REFUSE_LA', eval(2 * SITE_REFUSE_LA))
SITE_DEFAULT(`SITE_QUEUE_LA', ifdef(`confQUEUE_LA', `confQUEUE_LA', `ifelse(eval(SITE_REFUSE_LA > 0), 1, `eval(2 * SITE_REFUSE_LA)', `eval(64 * SITE_CPUS)')'))
#
# 0: never. Above DelayLA sendmail accepts one connection a second: the clients behind the first 300 would wait longer for
# their greeting than the five minutes that RFC 5321 gives them.
SITE_DEFAULT(`SITE_DELAY_LA', ifdef(`confDELAY_LA', `confDELAY_LA', `0'))
#
# Without this check a misspelt profile would silently be the default.
ifelse(SITE_PROFILE, `default', `', SITE_PROFILE, `burst', `',
`errprint(`SITE_PROFILE: 'SITE_PROFILE` is none of: default, burst
')m4exit(1)')
#
# With an address in brackets sendmail starts, but cannot connect to the milter: 451 for all mail. With an IPv6 address
# after inet: it does not start.
define(`SITE_CHECK_MILTER', `ifelse(index(`$2', `@['), -1, `', `errprint(`$1: '$2`: write the address without brackets
')m4exit(1)')ifelse(regexp(`$2', `^inet:.*:'), -1, `', `errprint(`$1: '$2`: an IPv6 address requires inet6:PORT@ADDRESS
')m4exit(1)')')
SITE_CHECK_MILTER(`SITE_MILTER', SITE_MILTER)
SITE_CHECK_MILTER(`SITE_DELIVERY_MILTER', SITE_DELIVERY_MILTER)
divert(0)dnl

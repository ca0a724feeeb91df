divert(-1)
#
# miltscan-delivery.m4: turns a sendmail.mc into the delivery side, which accepts mail from the incoming sendmail or from a
# release from quarantine, and delivers it to mailboxes and to the Internet. A copy of a site's own sendmail.mc includes
# it once, right before its mailers, as delivery.mc does.
#
include(patsubst(__file__, `[^/]*$', `')`settings.m4')
include(patsubst(__file__, `[^/]*$', `')`mailers.m4')
divert(-1)
#
# Delivery must not serve the Internet because of a mistake in the settings.
ifelse(eval(SITE_DELIVERY_PORT == 25 || SITE_DELIVERY_PORT == 465 || SITE_DELIVERY_PORT == 587), 1,
`errprint(`SITE_DELIVERY_PORT: 'SITE_DELIVERY_PORT` is a port of the incoming sendmail
')m4exit(1)')
divert(0)dnl
dnl
dnl Exactly one listener, regardless of what the .mc file set before (cf.m4 collects DAEMON_OPTIONS in _DPO_).
dnl M=A: no AUTH, since only the hosts below may connect; S: no STARTTLS, which has a cost and no use on loopback.
dnl Listen: with the default backlog of 10, a burst of a few messages a second makes the incoming sendmail wait five
dnl minutes for a greeting (docs/tuning.md).
define(`_NO_MSA_', `1')dnl
define(`_DPO_', `')dnl
DAEMON_OPTIONS(`Family=ifelse(index(SITE_DELIVERY_LISTEN, `:'), -1, `inet', `inet6'), Name=delivery, Addr=SITE_DELIVERY_LISTEN, Port=SITE_DELIVERY_PORT, M=ifelse(SITE_DELIVERY_LISTEN, `127.0.0.1', `AS', `A'), Listen=511')dnl
dnl ident: behind a firewall that drops the query, each handoff from another host would wait 5 s for its greeting.
define(`confTO_IDENT', `0')dnl
dnl With the short form of IPv6 addresses SITE_DELIVERY_FROM may be written as usual: IPv6:2001:db8::1.
define(`confUSE_COMPRESSED_IPV6_ADDRESSES', `True')dnl
define(`confSMTP_LOGIN_MSG', `$j delivery sendmail, for its incoming hosts only; $b')dnl
dnl
dnl A separate pid file and queue: two daemons in one queue would send each other's messages.
define(`confPID_FILE', `SITE_DELIVERY_PID')dnl
define(`QUEUE_DIR', `SITE_DELIVERY_QUEUE')dnl
include(patsubst(__file__, `[^/]*$', `')`runners.m4')dnl
define(`confPROCESS_TITLE_PREFIX', `delivery')dnl
undefine(`confCONTROL_SOCKET_NAME')dnl
dnl
dnl Remove what belongs to the incoming side, if the .mc file set it for both: filters, delays and limits for clients
dnl (delivery has one client), blocklists (diversion 8 of cf.m4).
define(`_MAIL_FILTERS_', `')dnl
undefine(`confINPUT_MAIL_FILTERS')dnl
undefine(`_RATE_CONTROL_', `_CONN_CONTROL_')dnl
undefine(`_CONTROL_IMMEDIATE_', `_RATE_CONTROL_IMMEDIATE_', `_CONN_CONTROL_IMMEDIATE_')dnl
undefine(`confCONNECTION_RATE_THROTTLE', `confMAX_DAEMON_CHILDREN', `confMAX_RCPTS_PER_MESSAGE', `confBAD_RCPT_THROTTLE')dnl
divert(-1)undivert(8)divert(0)dnl
define(`SITE_REFUSE_LA', SITE_DELIVERY_REFUSE_LA)dnl
define(`SITE_DELAY_LA', `0')dnl
include(patsubst(__file__, `[^/]*$', `')`load.m4')dnl
dnl
dnl Only a host name without a dot is completed by a lookup: while no resolver answers, mail for local mailboxes is
dnl delivered. Mail for the Internet waits in the queue for the lookup of its destination, as it must.
FEATURE(`nocanonify', `canonify_hosts')dnl
dnl
dnl All mail here was scanned, except mail that a local user sends to this port directly. With SITE_DELIVERY_MILTER
dnl miltscan verifies receipts, and scans messages without one. F=T and T= as at incoming; on failure incoming queues.
ifelse(SITE_DELIVERY_MILTER, `none', `',
`INPUT_MAIL_FILTER(`miltscan', `S=SITE_DELIVERY_MILTER, F=T, T=C:10s;S:30s;R:30s;E:5m')
define(`confMILTER_MACROS_CONNECT', confMILTER_MACROS_CONNECT``, {client_addr}, {client_name}, {client_ptr}'')
define(`confMILTER_MACROS_EOM', ``i, {msg_id}'')')dnl
dnl
dnl Delivery must not reject mail that the incoming sendmail accepted, because that would cause a bounce. So it does not
dnl check the sender, and allows for the header lines and the hop that incoming added. The limits of incoming are those
dnl that the .mc file sets for both (Debian's DOMAIN: 100 hops) or sendmail's defaults (25 hops, 32 KB; 0 is no limit). Only
dnl incoming limits the size: the added lines could make a message exceed the limit here.
FEATURE(`accept_unresolvable_domains')dnl
FEATURE(`accept_unqualified_senders')dnl
undefine(`confMAX_MESSAGE_SIZE')dnl
SITE_DEFAULT(`confMAX_HEADERS_LENGTH', `32768')dnl
ifelse(eval(confMAX_HEADERS_LENGTH > 0), 1, `define(`confMAX_HEADERS_LENGTH', eval(confMAX_HEADERS_LENGTH + 32768))')dnl
SITE_DEFAULT(`confMAX_HOP', `25')dnl
define(`confMAX_HOP', eval(confMAX_HOP + 25))dnl
dnl
dnl Mailboxes with SMTP, as in the demonstration (no w: users need no account here; no P: the mailbox adds Return-Path).
dnl Without this setting the site's own local mailer delivers.
ifdef(`SITE_MAILBOX_PORT', `dnl
define(`LOCAL_MAILER_PATH', `[IPC]')dnl
define(`LOCAL_MAILER_ARGS', `TCP [127.0.0.1] SITE_MAILBOX_PORT')dnl
define(`LOCAL_MAILER_EOL', `\r\n')dnl
define(`LOCAL_MAILER_DSN_DIAGNOSTIC_CODE', `SMTP')dnl
MODIFY_MAILER_FLAGS(`LOCAL', `klsDFMA5:/|@qmnX')dnl
')dnl
dnl
dnl Allowed clients: SITE_DELIVERY_FROM, and SITE_SCANNERS for releases from quarantine: addresses or leading parts of
dnl addresses (192.0.2 is a network). They may send to any recipient. Any other client receives 550 at connect, or at RCPT if FEATURE(delay_checks) delays the first check.
dnl No client address: a sendmail that was started as a program, with -bs.
RELAY_DOMAIN(`SITE_DELIVERY_FROM SITE_SCANNERS')dnl
LOCAL_CONFIG
C{DeliveryFrom}SITE_DELIVERY_FROM SITE_SCANNERS
LOCAL_RULESETS
SDeliveryClient
R$*			$: $&{client_addr}
R$@			$@ OK
R0			$@ OK
R$={DeliveryFrom} $*	$@ OK
R$*			$#error $@ 5.7.1 $: "550 Access denied: this is not a public mail server"

SLocal_check_relay
R$*			$: $>DeliveryClient $1

SLocal_check_rcpt
R$*			$: $>DeliveryClient $1

SLocal_greet_pause
R$*			$# 0
divert(0)dnl

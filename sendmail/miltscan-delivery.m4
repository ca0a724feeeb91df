divert(-1)
#
# miltscan-delivery.m4: makes a sendmail.mc the delivery side: it takes what the incoming sendmail, or a release from
# quarantine, hands it, and brings it to mailboxes and to the Internet. A copy of a site's own sendmail.mc includes it
# once, right before its mailers; delivery.mc does the same.
#
include(patsubst(__file__, `[^/]*$', `')`settings.m4')
include(patsubst(__file__, `[^/]*$', `')`mailers.m4')
divert(-1)
#
# It is nobody's MX: a mistake in the settings must not put it there.
ifelse(eval(SITE_DELIVERY_PORT == 25 || SITE_DELIVERY_PORT == 465 || SITE_DELIVERY_PORT == 587), 1,
`errprint(`SITE_DELIVERY_PORT: 'SITE_DELIVERY_PORT` is a port of the incoming sendmail
')m4exit(1)')
divert(0)dnl
dnl
dnl One listener, and only this one, whatever the .mc file said before (_DPO_ is where cf.m4 gathers DAEMON_OPTIONS).
dnl M=A: no AUTH, it is the hosts below that may speak here; S: no STARTTLS, which on loopback only costs.
dnl Listen: with the default backlog of 10 a burst of a few messages a second leaves the incoming sendmail waiting five
dnl minutes for a greeting.
define(`_NO_MSA_', `1')dnl
define(`_DPO_', `')dnl
DAEMON_OPTIONS(`Family=inet, Name=delivery, Addr=SITE_DELIVERY_LISTEN, Port=SITE_DELIVERY_PORT, M=ifelse(SITE_DELIVERY_LISTEN, `127.0.0.1', `AS', `A'), Listen=511')dnl
dnl ident: behind a firewall that drops the question each handoff from another host would wait 5 s for its greeting.
define(`confTO_IDENT', `0')dnl
define(`confSMTP_LOGIN_MSG', `$j delivery sendmail, for its incoming hosts only; $b')dnl
dnl
dnl Its own pid file and queue: two daemons in one queue would send each other's messages.
define(`confPID_FILE', `SITE_DELIVERY_PID')dnl
define(`QUEUE_DIR', `SITE_DELIVERY_QUEUE')dnl
include(patsubst(__file__, `[^/]*$', `')`runners.m4')dnl
define(`confPROCESS_TITLE_PREFIX', `delivery')dnl
dnl
dnl What belongs to the incoming side is taken back, if the .mc file set it for both: filters, pauses and limits for clients
dnl (there is one), blocklists (diversion 8 of cf.m4).
define(`_MAIL_FILTERS_', `')dnl
undefine(`confINPUT_MAIL_FILTERS')dnl
undefine(`_RATE_CONTROL_', `_CONN_CONTROL_')dnl
undefine(`_CONTROL_IMMEDIATE_', `_RATE_CONTROL_IMMEDIATE_', `_CONN_CONTROL_IMMEDIATE_')dnl
undefine(`confCONNECTION_RATE_THROTTLE')dnl
divert(-1)undivert(8)divert(0)dnl
dnl
dnl Everything here was scanned, but for what a local user hands to this port himself: with SITE_DELIVERY_MILTER miltscan
dnl looks for its receipt, and scans what has none. F=T and T= as at incoming; whoever hands over queues meanwhile.
ifelse(SITE_DELIVERY_MILTER, `none', `',
`INPUT_MAIL_FILTER(`miltscan', `S=SITE_DELIVERY_MILTER, F=T, T=C:10s;S:30s;R:30s;E:5m')
define(`confMILTER_MACROS_CONNECT', confMILTER_MACROS_CONNECT``, {client_addr}, {client_name}, {client_ptr}'')
define(`confMILTER_MACROS_EOM', ``i, {msg_id}'')')dnl
dnl
dnl What the incoming sendmail accepted must not be refused here: that would be a bounce. So no check of its own of the
dnl sender, and room for the header lines and the hop that were added since the incoming limits, which are those that the
dnl .mc file sets for both (Debian's DOMAIN: 100 hops) or sendmail's own (25 hops, 32 KB; 0 is none). A limit on the size,
dnl which a message that incoming just took would pass by those lines, stays with incoming.
FEATURE(`accept_unresolvable_domains')dnl
FEATURE(`accept_unqualified_senders')dnl
undefine(`confMAX_MESSAGE_SIZE')dnl
SITE_DEFAULT(`confMAX_HEADERS_LENGTH', `32768')dnl
ifelse(eval(confMAX_HEADERS_LENGTH > 0), 1, `define(`confMAX_HEADERS_LENGTH', eval(confMAX_HEADERS_LENGTH + 32768))')dnl
SITE_DEFAULT(`confMAX_HOP', `25')dnl
define(`confMAX_HOP', eval(confMAX_HOP + 25))dnl
dnl
dnl Who may speak here: SITE_DELIVERY_FROM, addresses or leading parts of addresses (192.0.2 is a whole network), which may
dnl send to everybody; any other client hears 550 at connect, or at RCPT where FEATURE(delay_checks) puts the first check
dnl off. No client address: a sendmail that was started as a program, with -bs.
RELAY_DOMAIN(`SITE_DELIVERY_FROM')dnl
LOCAL_CONFIG
C{DeliveryFrom}SITE_DELIVERY_FROM
LOCAL_RULESETS
SDeliveryClient
R$*			$: $&{client_addr}
R$@			$@ OK
R0			$@ OK
R$={DeliveryFrom} $*	$@ OK
R$*			$#error $@ 5.7.1 $: "550 Access denied: this is no public mail server"

SLocal_check_relay
R$*			$: $>DeliveryClient $1

SLocal_check_rcpt
R$*			$: $>DeliveryClient $1

SLocal_greet_pause
R$*			$# 0
divert(0)dnl

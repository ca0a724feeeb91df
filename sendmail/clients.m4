divert(-1)
#
# clients.m4: rules of incoming.mc for each client: a pause before the greeting, open connections, connections in a minute. A
# site's own sendmail.mc keeps its own rules (the features greet_pause, conncontrol and ratecontrol) instead.
#
# Never limited: this host, where the probe, doctor and local programs connect from; SITE_UNLIMITED; and hosts that may relay
# by their address. No pause on a port that requires AUTH (daemon flag a): with TLS from the first byte a mail program talks
# first. Such a port requires TLS for every message, even if the client's AUTH sent no password in clear text.
#
SITE_DEFAULT(`SITE_GREET_PAUSE', `1000')
SITE_DEFAULT(`SITE_CLIENT_CONNECTIONS', `50')
SITE_DEFAULT(`SITE_CLIENT_RATE', `300')
SITE_DEFAULT(`SITE_UNLIMITED', `')
divert(0)dnl
ifelse(SITE_GREET_PAUSE, `0', `', `FEATURE(`greet_pause', SITE_GREET_PAUSE)')dnl
LOCAL_CONFIG
Kclientlimit arith
C{Unlimited}127 IPv6:::1 IPv6:0:0:0:0:0:0:0:1 SITE_UNLIMITED
LOCAL_RULESETS
SUnlimited
R$*			$: $&{client_addr}
R$@			$@ YES
R0			$@ YES
R$={Unlimited} $*	$@ YES
R$=R $*			$@ YES
R$*			$@ NO

SClientLimits
R$*			$: $>Unlimited
RYES			$@ OK
ifelse(eval(SITE_CLIENT_CONNECTIONS > 0), 1, `dnl
R$*			$: $(clientlimit l $@ SITE_CLIENT_CONNECTIONS $@ $&{client_connections} $)
RTRUE			$#error $@ 4.3.2 $: "421 Too many open connections"
')dnl
ifelse(eval(SITE_CLIENT_RATE > 0), 1, `dnl
R$*			$: $(clientlimit l $@ SITE_CLIENT_RATE $@ $&{client_rate} $)
RTRUE			$#error $@ 4.3.2 $: "421 Connection rate limit exceeded"
')dnl

SLocal_check_relay
R$*			$: $>ClientLimits

SLocal_check_mail
R$*			$: $1 $| $&{daemon_flags} $| $&{tls_version}
R$* $| $* a $* $|	$#error $@ 5.7.0 $: "530 Must issue a STARTTLS command first"
R$* $| $* $| $*		$: $1

SLocal_greet_pause
R$*			$: $&{daemon_flags}
R$* a $*		$# 0
R$*			$: $>Unlimited
RYES			$# 0
divert(0)dnl

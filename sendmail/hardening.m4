divert(-1)
#
# hardening.m4: limits for clients of the incoming side. README.md has the reason for each default. Values that the site's
# own sendmail.mc has set before stay.
#
define(`SITE_HARDEN', `ifdef(`$1', `', `define(`$1', `$2')')')
SITE_DEFAULT(`SITE_PRIVACY', `authwarnings,needmailhelo,noexpn,novrfy,noverb,noetrn,nobodyreturn,restrictqrun,restrictexpand')
SITE_DEFAULT(`SITE_MAX_RECIPIENTS', `1000')
SITE_DEFAULT(`SITE_BAD_RECIPIENTS', `3')
SITE_DEFAULT(`SITE_MAX_CHILDREN', `1000')
SITE_DEFAULT(`SITE_CLIENT_TIMEOUT', `5m')
SITE_DEFAULT(`SITE_IDENT_TIMEOUT', `0')
SITE_DEFAULT(`SITE_TLS_MINIMUM', `1.2')
#
ifelse(defn(`confPRIVACY_FLAGS'), `authwarnings', `undefine(`confPRIVACY_FLAGS')')
SITE_HARDEN(`confPRIVACY_FLAGS', defn(`SITE_PRIVACY'))
SITE_HARDEN(`confMAX_RCPTS_PER_MESSAGE', SITE_MAX_RECIPIENTS)
SITE_HARDEN(`confBAD_RCPT_THROTTLE', SITE_BAD_RECIPIENTS)
SITE_HARDEN(`confMAX_DAEMON_CHILDREN', SITE_MAX_CHILDREN)
SITE_HARDEN(`confTO_COMMAND', SITE_CLIENT_TIMEOUT)
SITE_HARDEN(`confTO_DATABLOCK', SITE_CLIENT_TIMEOUT)
SITE_HARDEN(`confTO_STARTTLS', SITE_CLIENT_TIMEOUT)
SITE_HARDEN(`confTO_AUTH', SITE_CLIENT_TIMEOUT)
SITE_HARDEN(`confTO_IDENT', SITE_IDENT_TIMEOUT)
ifdef(`SITE_CIPHERS', `SITE_HARDEN(`confCIPHER_LIST', defn(`SITE_CIPHERS'))')
#
# OpenSSL expects a minimum version as a list of the versions to disable.
SITE_HARDEN(`confSERVER_SSL_OPTIONS', `+SSL_OP_NO_SSLv2 +SSL_OP_NO_SSLv3'dnl
ifelse(SITE_TLS_MINIMUM, `1.0', `',
SITE_TLS_MINIMUM, `1.1', ` +SSL_OP_NO_TLSv1',
SITE_TLS_MINIMUM, `1.2', ` +SSL_OP_NO_TLSv1 +SSL_OP_NO_TLSv1_1',
SITE_TLS_MINIMUM, `1.3', ` +SSL_OP_NO_TLSv1 +SSL_OP_NO_TLSv1_1 +SSL_OP_NO_TLSv1_2',
`errprint(`SITE_TLS_MINIMUM: 'SITE_TLS_MINIMUM` is none of: 1.0, 1.1, 1.2, 1.3
')m4exit(1)')` +SSL_OP_CIPHER_SERVER_PREFERENCE')
divert(0)dnl

divert(-1)
#
# miltscan-program.m4: the handoff by a program. For each message the incoming sendmail starts the delivery sendmail, which
# uses SMTP on its standard input (-bs) and then ends; no process listens. Include it after the mailers of the incoming
# side: it defines them again, and sendmail uses the last definition of a name.
#
# F= is that of each mailer with TCP, and S: stay root, to write into root's queue. P= replaces the connection.
#
define(`SITE_PROGRAM_MAILER', `M$1,	P=SITE_DELIVERY_PROGRAM, F=_MODMF_(`$2', translit(`$1', `a-z', `A-Z'))`'S, S=$3, R=$4, E=\r\n,
		L=2040, T=DNS/RFC822/SMTP, A=sendmail -L delivery -C SITE_DELIVERY_CF -bs')
divert(0)dnl
MAILER_DEFINITIONS
SITE_PROGRAM_MAILER(`smtp', `mDFMuX', `EnvFromSMTP/HdrFromSMTP', `EnvToSMTP')
SITE_PROGRAM_MAILER(`esmtp', `mDFMuXa', `EnvFromSMTP/HdrFromSMTP', `EnvToSMTP')
SITE_PROGRAM_MAILER(`smtp8', `mDFMuX8', `EnvFromSMTP/HdrFromSMTP', `EnvToSMTP')
SITE_PROGRAM_MAILER(`dsmtp', `mDFMuXa%', `EnvFromSMTP/HdrFromSMTP', `EnvToSMTP')
SITE_PROGRAM_MAILER(`relay', `mDFMuXa8', `EnvFromSMTP/HdrFromSMTP', `MasqSMTP')
SITE_PROGRAM_MAILER(`local', `', `EnvFromL/HdrFromL', `EnvToL/HdrToL')

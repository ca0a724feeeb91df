divert(-1)
#
# miltscan-incoming.m4: turns a sendmail.mc into the incoming side, which asks miltscan about each message within the SMTP
# session and hands over all accepted mail, local and remote, to the delivery sendmail. A site's own sendmail.mc includes
# it once, before its mailers, as incoming.mc does.
#
include(patsubst(__file__, `[^/]*$', `')`settings.m4')
include(patsubst(__file__, `[^/]*$', `')`mailers.m4')
divert(0)dnl
ifdef(`SITE_INCOMING_PID', `define(`confPID_FILE', `SITE_INCOMING_PID')')dnl
ifdef(`SITE_INCOMING_QUEUE', `define(`QUEUE_DIR', `SITE_INCOMING_QUEUE')')dnl
dnl
dnl Each listener gets a long backlog (cf.m4 collects DAEMON_OPTIONS in _DPO_): with the default of 10, a burst of a few
dnl messages a second makes clients wait five minutes for a greeting (docs/tuning.md).
ifelse(index(defn(`_DPO_'), `Listen='), -1, `define(`_DPO_', patsubst(defn(`_DPO_'), `O Daemon.*', ``\&, Listen=511''))')dnl
dnl
dnl No name in a header or an envelope is looked up on the way to delivery, which looks up destinations itself: while no
dnl resolver answers, mail to and from local domains passes. Class P: the sender's domain is not looked up either if it is
dnl a local one. Mail with another sender's domain receives 451 4.1.8 at MAIL until the resolver is back.
FEATURE(`nocanonify')dnl
LOCAL_CONFIG
ifdef(`USE_CW_FILE', `F{P}confCW_FILE')
ifdef(`SITE_DOMAIN', `C{P}SITE_DOMAIN')
divert(0)dnl
include(patsubst(__file__, `[^/]*$', `')`load.m4')dnl
include(patsubst(__file__, `[^/]*$', `')`hardening.m4')dnl
dnl
dnl Announced as SIZE: a client learns before it sends the message that it is too large. Equal to limits.message_size.
define(`confMAX_MESSAGE_SIZE', SITE_MESSAGE_SIZE)dnl
dnl
dnl Sync the queue file to disk after the milter's decision: a rejected message never costs an fsync.
define(`confSAFE_QUEUE', `PostMilter')dnl
include(patsubst(__file__, `[^/]*$', `')`runners.m4')dnl
dnl
dnl The burst profile: a client receives the reply when its message is on disk (queueonly). Queue runners do the handoff
dnl and reuse their sessions to the delivery sendmail. They use order of arrival, by file name, so a run opens no queue
dnl file to sort. MinQueueAge: a message whose handoff failed is retried once a minute, not in each run.
ifelse(SITE_PROFILE, `burst', `define(`confDELIVERY_MODE', `queueonly')dnl
define(`confQUEUE_SORT_ORDER', `filename')dnl
define(`confMIN_QUEUE_AGE', `1m')dnl
')dnl
dnl
dnl F=T: while miltscan is down, the client receives 451 and keeps its message. Without F= sendmail would accept it unscanned.
dnl T=C: connect; a local socket accepts at once or never.
dnl   S: one write to miltscan.
dnl   R: one reply or progress. miltscan reports progress every second of a scan, so this is thirty missing reports.
dnl   E: the whole end of the message: longer than queue_wait and scan_timeout together, and half of the ten minutes that a
dnl      client waits for the reply to its final dot (RFC 5321 section 4.5.3.2.6).
ifelse(SITE_MILTER, `none', `',
`INPUT_MAIL_FILTER(`miltscan', `S=SITE_MILTER, F=T, T=C:10s;S:30s;R:30s;E:5m')')dnl
dnl
dnl Macros that miltscan logs or needs for decisions: client address and names, AUTH identity, mailer of each recipient, both IDs.
define(`confMILTER_MACROS_CONNECT', confMILTER_MACROS_CONNECT``, {client_addr}, {client_name}, {client_ptr}'')dnl
define(`confMILTER_MACROS_EOM', ``i, {msg_id}'')dnl
dnl
dnl The handoff by TCP: for any recipient, connect to the delivery sendmail. By program: miltscan-program.m4.
define(`SITE_HANDOFF_ARGS', `TCP SITE_DELIVERY_HOST SITE_DELIVERY_PORT')dnl
define(`SMTP_MAILER_ARGS', `SITE_HANDOFF_ARGS')dnl
define(`ESMTP_MAILER_ARGS', `SITE_HANDOFF_ARGS')dnl
define(`SMTP8_MAILER_ARGS', `SITE_HANDOFF_ARGS')dnl
define(`DSMTP_MAILER_ARGS', `SITE_HANDOFF_ARGS')dnl
define(`RELAY_MAILER_ARGS', `SITE_HANDOFF_ARGS')dnl
dnl Flag 0: no MX lookup. sendmail would look up the recipient's domain, though it connects to the host in A=, and wait for a
dnl resolver that does not answer. Without brackets SITE_DELIVERY_HOST is a name whose MX counts, so the flag is not set.
ifelse(index(SITE_DELIVERY_HOST, `['), 0, `MODIFY_MAILER_FLAGS(`SMTP', `+0')MODIFY_MAILER_FLAGS(`ESMTP', `+0')dnl
MODIFY_MAILER_FLAGS(`SMTP8', `+0')MODIFY_MAILER_FLAGS(`DSMTP', `+0')MODIFY_MAILER_FLAGS(`RELAY', `+0')')dnl
define(`LOCAL_MAILER_PATH', `[IPC]')dnl
define(`LOCAL_MAILER_ARGS', `SITE_HANDOFF_ARGS')dnl
define(`LOCAL_MAILER_EOL', `\r\n')dnl
define(`LOCAL_MAILER_DSN_DIAGNOSTIC_CODE', `SMTP')dnl
dnl
dnl The local mailer uses SMTP here. This sets all of its flags, so that none of the OSTYPE remains. It drops f (-f
dnl argument), P (Return-Path), 9 (undo MIME encodings) and S (stay root), which only a program or the final delivery may
dnl use. It adds k, m (all recipients in one transaction) and X (a lone dot in a line does not end the message). A, w and 5
dnl stay: aliases are expanded and unknown users rejected here, within the session (w is SITE_USER_CHECK).
MODIFY_MAILER_FLAGS(`LOCAL', `klsDFMA'SITE_USER_CHECK`5:/|@qmnX')dnl

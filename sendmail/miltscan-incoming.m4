divert(-1)
#
# miltscan-incoming.m4: makes a sendmail.mc the incoming side: it asks miltscan about each message inside the SMTP session
# and hands everything it accepted, local and remote, to the delivery sendmail. A sendmail.mc of a site's own includes
# it once, before its mailers; incoming.mc does the same.
#
include(patsubst(__file__, `[^/]*$', `')`settings.m4')
include(patsubst(__file__, `[^/]*$', `')`mailers.m4')
divert(0)dnl
ifdef(`SITE_INCOMING_PID', `define(`confPID_FILE', `SITE_INCOMING_PID')')dnl
ifdef(`SITE_INCOMING_QUEUE', `define(`QUEUE_DIR', `SITE_INCOMING_QUEUE')')dnl
dnl
dnl Each listener gets a long backlog (_DPO_ is where cf.m4 gathers DAEMON_OPTIONS): with the default of 10 a burst of a few
dnl messages a second leaves clients waiting five minutes for a greeting.
ifelse(index(defn(`_DPO_'), `Listen='), -1, `define(`_DPO_', patsubst(defn(`_DPO_'), `O Daemon.*', ``\&, Listen=511''))')dnl
dnl
dnl The queue file is synced to disk after the milter's verdict: a refused message never costs an fsync.
define(`confSAFE_QUEUE', `PostMilter')dnl
include(patsubst(__file__, `[^/]*$', `')`runners.m4')dnl
dnl
dnl The burst profile: a client is answered when its message is on disk (queueonly); the handoff is left to the runners,
dnl which keep their sessions to the delivery sendmail. In order of arrival: by file name, which needs no look into the
dnl queue files. MinQueueAge: what could not be handed over is tried once a minute and not at each run.
ifelse(SITE_PROFILE, `burst', `define(`confDELIVERY_MODE', `queueonly')dnl
define(`confQUEUE_SORT_ORDER', `filename')dnl
define(`confMIN_QUEUE_AGE', `1m')dnl
')dnl
dnl
dnl F=T: with miltscan down the client hears 451 and keeps its message. No F= at all would accept it unscanned.
dnl T=C: connecting; a local socket answers at once or never.
dnl   S: one write to miltscan.
dnl   R: one reply or progress. miltscan shows progress every second of a scan, so this is thirty missed ones.
dnl   E: all of the end of the message; above queue_wait and scan_timeout (60 s), and half of the ten minutes that a
dnl      client waits for the reply to its final dot (RFC 5321 section 4.5.3.2.6).
ifelse(SITE_MILTER, `none', `',
`INPUT_MAIL_FILTER(`miltscan', `S=SITE_MILTER, F=T, T=C:10s;S:30s;R:30s;E:5m')')dnl
dnl
dnl Macros miltscan logs and decides by: client address and names, AUTH identity, mailer of each recipient, both ids.
define(`confMILTER_MACROS_CONNECT', confMILTER_MACROS_CONNECT``, {client_addr}, {client_name}, {client_ptr}'')dnl
define(`confMILTER_MACROS_EOM', ``i, {msg_id}'')dnl
dnl
dnl The handoff by TCP: whatever the recipient's host, connect to the delivery sendmail. By program: miltscan-program.m4.
define(`SITE_HANDOFF_ARGS', `TCP SITE_DELIVERY_HOST SITE_DELIVERY_PORT')dnl
define(`SMTP_MAILER_ARGS', `SITE_HANDOFF_ARGS')dnl
define(`ESMTP_MAILER_ARGS', `SITE_HANDOFF_ARGS')dnl
define(`SMTP8_MAILER_ARGS', `SITE_HANDOFF_ARGS')dnl
define(`DSMTP_MAILER_ARGS', `SITE_HANDOFF_ARGS')dnl
define(`RELAY_MAILER_ARGS', `SITE_HANDOFF_ARGS')dnl
define(`LOCAL_MAILER_PATH', `[IPC]')dnl
define(`LOCAL_MAILER_ARGS', `SITE_HANDOFF_ARGS')dnl
define(`LOCAL_MAILER_EOL', `\r\n')dnl
define(`LOCAL_MAILER_DSN_DIAGNOSTIC_CODE', `SMTP')dnl
dnl
dnl The local mailer speaks SMTP now. Its flags are set whole, so that no OSTYPE's additions are left: without f (-f
dnl argument), P (Return-Path), 9 (undo MIME encodings), S (stay root), which only a program or the last stop may have;
dnl with k, m (all recipients in one transaction), X (a lone dot in a line does not end the message). A, w and 5 stay:
dnl aliases are expanded and unknown users refused here, inside the session (w is SITE_USER_CHECK).
MODIFY_MAILER_FLAGS(`LOCAL', `klsDFMA'SITE_USER_CHECK`5:/|@qmnX')dnl

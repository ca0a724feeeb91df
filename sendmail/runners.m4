divert(-1)
#
# runners.m4: the number of processes that share a queue in one queue run. Both sides include it. Intervals: start.m4.
#
# One runner hands over some twenty messages a second on any machine, because each message after the first one in a session
# waits 40 ms (docs/lab/tuning.md). So there are several. F=f makes a run fork them; R= alone does not. A queue group
# mqueue that the site defines itself stays.
ifelse(index(defn(`_QUEUE_GROUP_'), `Qmqueue,'), -1, `QUEUE_GROUP(`mqueue', `F=f, R=SITE_RUNNERS'ifelse(SITE_PROFILE, `burst', ``, N=13''))')
divert(0)dnl

divert(-1)
#
# runners.m4: how many processes of a queue run share the queue. Both sides include it; it says nothing of when a run is.
#
# One runner hands over some twenty messages a second, whatever the machine: in a session that goes on, sendmail writes the
# final dot by itself, and TCP holds it back until the other side acknowledges what came before, which it puts off for
# 40 ms. So several; F=f has a run fork them, R= alone does not. A queue group mqueue that the site defines itself stays.
ifelse(index(defn(`_QUEUE_GROUP_'), `Qmqueue,'), -1, `QUEUE_GROUP(`mqueue', `F=f, R=SITE_RUNNERS'ifelse(SITE_PROFILE, `burst', ``, N=13''))')
divert(0)dnl

divert(-1)
#
# queue.m4: when the queue runs, for the start scripts: SIDE.queue beside SIDE.cf. A .cf file cannot say it.
#
# p1s: a runner process that stays, and rests a second between two runs (five while the queue is empty). The delivery
# sendmail tries fresh mail by itself: its runs are for what is left over.
#
include(SITE_HERE`/settings.m4')
divert(0)dnl
# Made by make from the site's settings.
QUEUE_INTERVAL=ifelse(SITE_PROFILE`-'SIDE, `burst-incoming', `p1s', `5m')

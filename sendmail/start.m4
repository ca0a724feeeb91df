divert(-1)
#
# start.m4: what a start script has to know and no .cf file can say: SIDE.start beside SIDE.cf.
#
# QUEUE_INTERVAL p1s: a runner that stays, and rests a second between two runs (five while the queue is empty). The
# delivery sendmail tries fresh mail by itself: its runs are for what is left over.
# NICE: in a burst the clients of incoming come first. What incoming has accepted is on disk and can wait.
#
include(SITE_HERE`/settings.m4')
define(`BY_PROFILE', `ifelse(SITE_PROFILE`-'SIDE, `burst-$1', `$2', `$3')')
divert(0)dnl
# Made by make from the site settings.
QUEUE_INTERVAL=BY_PROFILE(`incoming', `p1s', `5m')
NICE=BY_PROFILE(`delivery', `13', `0')

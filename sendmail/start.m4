divert(-1)
#
# start.m4: settings for a start script that a .cf file cannot hold: SIDE.start next to SIDE.cf.
#
# QUEUE_INTERVAL p1s: a persistent runner that pauses one second between two runs (five while the queue is empty). The
# delivery sendmail delivers new mail itself; its queue runs retry the rest.
# NICE: in a burst the clients of incoming come first. Mail that incoming has accepted is on disk and can wait.
#
include(SITE_HERE`/settings.m4')
define(`BY_PROFILE', `ifelse(SITE_PROFILE`-'SIDE, `burst-$1', `$2', `$3')')
divert(0)dnl
# Made by make from the site settings.
QUEUE_INTERVAL=BY_PROFILE(`incoming', `p1s', `5m')
NICE=BY_PROFILE(`delivery', `13', `0')

divert(-1)
#
# load.m4: the load averages from which a sendmail queues, delays and refuses. settings.m4 has the reasons. Both sides include
# it; delivery sets SITE_REFUSE_LA to its own value before.
#
define(`confQUEUE_LA', SITE_QUEUE_LA)
define(`confREFUSE_LA', SITE_REFUSE_LA)
define(`confDELAY_LA', SITE_DELAY_LA)
divert(0)dnl

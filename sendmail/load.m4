divert(-1)
#
# load.m4: the load average above which a sendmail queues, delays and refuses. settings.m4 has the reasons. Each side includes
# it, delivery after it has set SITE_REFUSE_LA to its own.
#
define(`confQUEUE_LA', SITE_QUEUE_LA)
define(`confREFUSE_LA', SITE_REFUSE_LA)
define(`confDELAY_LA', SITE_DELAY_LA)
divert(0)dnl

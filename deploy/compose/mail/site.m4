dnl The settings of both sendmails; ../../sendmail/site.example.m4 and README.md list the others. A change requires
dnl `docker compose up --build'. The addresses are those of compose.yaml.
define(`SITE_RELAY_DOMAINS', `example.org')dnl                your domains; mailertable has the host of their mailboxes
define(`SITE_MILTER', `inet:10025@172.31.25.11')dnl
define(`SITE_LISTEN', `0.0.0.0')dnl
define(`SITE_DELIVERY_HOST', `[172.31.25.31]')dnl
define(`SITE_DELIVERY_LISTEN', `172.31.25.31')dnl
define(`SITE_DELIVERY_FROM', `172.31.25.21 172.31.25.31')dnl  incoming, and delivery's own health check

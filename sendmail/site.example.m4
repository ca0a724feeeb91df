dnl The settings of one site, for `make -C sendmail OUT=/etc/mail SITE=/etc/mail/site.m4'. Every setting is optional; a
dnl line that begins with dnl is disabled. README.md lists every setting with its default.
define(`SITE_DOMAIN', `example.org')dnl                      local domain, in addition to those in local-host-names
dnl define(`SITE_RELAY_DOMAINS', `192.0.2 partner.example')dnl   may relay or be relayed to, in addition to relay-domains
dnl define(`SITE_DELIVERY_HOST', `[127.0.0.1]')dnl           host of the delivery sendmail
dnl define(`SITE_DELIVERY_PORT', `19000')dnl
dnl define(`SITE_MILTER', `unix:/run/miltscan/miltscan.sock')dnl
dnl define(`SITE_DELIVERY_MILTER', `unix:/run/miltscan/verify.sock')dnl   scans mail without a receipt: ../docs/receipt.md
dnl define(`SITE_PROFILE', `burst')dnl                      answers clients sooner in a burst: ../docs/tuning.md
dnl define(`SITE_INCOMING_QUEUE', `/var/spool/mqueue')dnl
dnl define(`SITE_DELIVERY_QUEUE', `/var/spool/mqueuedelivery')dnl
dnl define(`SITE_CERTIFICATE', `/etc/mail/tls/sendmail-server.crt')dnl
dnl define(`SITE_KEY', `/etc/mail/tls/sendmail-common.key')dnl
dnl define(`SITE_AUTH', `on')dnl                             requires the two above and SASL: see README.md
dnl define(`SITE_SUBMISSION', `on')dnl                       on: ports 587 and 465, requires the same; local: 587 of 127.0.0.1
dnl define(`SITE_MESSAGE_SIZE', `104857600')dnl              equal to limits.message_size of miltscan
dnl define(`SITE_SMART_HOST', `[relay.example.net]')dnl      delivery sends all remote mail there

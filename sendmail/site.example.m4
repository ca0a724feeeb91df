dnl The settings of one site, for `make -C sendmail OUT=/etc/mail SITE=/etc/mail/site.m4'. All of it is optional; a line
dnl that begins with dnl is off. README.md lists every setting with its default.
define(`SITE_DOMAIN', `example.org')dnl                      mail for it is local, as for those in local-host-names
dnl define(`SITE_RELAY_DOMAINS', `192.0.2 partner.example')dnl   may relay, or be relayed to, as those in relay-domains
dnl define(`SITE_DELIVERY_HOST', `[127.0.0.1]')dnl           where incoming hands over to
dnl define(`SITE_DELIVERY_PORT', `19000')dnl
dnl define(`SITE_MILTER', `unix:/run/miltscan/miltscan.sock')dnl
dnl define(`SITE_DELIVERY_MILTER', `unix:/run/miltscan/verify.sock')dnl   scans what has no receipt: ../docs/receipt.md
dnl define(`SITE_PROFILE', `burst')dnl                      answers clients faster in a burst: ../docs/tuning.md
dnl define(`SITE_INCOMING_QUEUE', `/var/spool/mqueue')dnl
dnl define(`SITE_DELIVERY_QUEUE', `/var/spool/mqueuedelivery')dnl
dnl define(`SITE_CERTIFICATE', `/etc/mail/tls/sendmail-server.crt')dnl
dnl define(`SITE_KEY', `/etc/mail/tls/sendmail-common.key')dnl
dnl define(`SITE_AUTH', `on')dnl                             needs the two above and SASL: see README.md
dnl define(`SITE_SMART_HOST', `[relay.example.net]')dnl      delivery sends all remote mail there

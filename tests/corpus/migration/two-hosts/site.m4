dnl From imss.ini, for make -C sendmail OUT=/etc/mail SITE=/etc/mail/site.m4
dnl An absent setting has its default: sendmail/README.md lists them all.
define(`SITE_DELIVERY_FROM', `192.0.2.10 192.0.2.11')dnl
define(`SITE_DELIVERY_HOST', `[192.0.2.20]')dnl
define(`SITE_DELIVERY_LISTEN', `192.0.2.20')dnl
define(`SITE_DELIVERY_PORT', `19000')dnl

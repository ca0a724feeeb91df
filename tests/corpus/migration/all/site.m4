dnl From clamav-milter.conf, for make -C sendmail OUT=/etc/mail SITE=/etc/mail/site.m4
dnl An absent setting has its default: sendmail/README.md lists them all.
define(`SITE_MILTER', `inet:7357@127.0.0.1')dnl
define(`SITE_MESSAGE_SIZE', `0')dnl

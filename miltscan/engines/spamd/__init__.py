"""The spamd engine: the SPAMC protocol to the spamd of SpamAssassin."""

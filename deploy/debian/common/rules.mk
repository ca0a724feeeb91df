# The steps that the packages of all releases share; `python` of the release's rules runs the generators.

# pages, completion, and the files of deploy/ under the names that debhelper looks for
define generate
	$(python) -m docs.generator.manual build/man
	mkdir -p build/completion
	_MILTSCAN_COMPLETE=source_bash $(python) -m miltscan >build/completion/miltscan
	# zsh reads the first line, and calls the file as the function
	_MILTSCAN_COMPLETE=source_zsh $(python) -m miltscan | sed '/./,$$!d' >build/completion/_miltscan
	echo '_miltscan_completion "$$@"' >>build/completion/_miltscan
	cp deploy/sysusers.d/miltscan.conf debian/miltscan.sysusers
	cp deploy/tmpfiles.d/miltscan.conf debian/miltscan.tmpfiles
	cp deploy/logrotate.d/miltscan debian/miltscan.logrotate
	cp deploy/logcheck/ignore.d.server/miltscan debian/miltscan.logcheck.ignore.server
endef

override_dh_installdocs:
	dh_installdocs -X.py -X__pycache__ -Xdocs/lab -Xdocs/site

override_dh_installchangelogs:
	dh_installchangelogs CHANGELOG.md

# pages link to each other by name
override_dh_compress:
	dh_compress -X.md -X.png

execute_after_dh_install:
	dh_apparmor --profile-name=miltscan

# The package enables and starts nothing, because a half-configured sandwich would refuse mail; miltscan.postinst restarts
# what runs. The other maintainer scripts stop the units in their order.
override_dh_installsystemd:

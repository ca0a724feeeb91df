"""Sphinx's configuration of the site. Everything is in the built folder: no font, script or search of another host."""

project = "miltscan"
html_title = "miltscan"
html_theme = "furo"
extensions = ["myst_parser"]
exclude_patterns = ["deploy/mixin/dashboards_out"]
myst_enable_extensions = ["html_image"]  # a picture with a width
myst_heading_anchors = 4  # a link to a heading, as on GitHub
myst_links_external_new_tab = False
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
highlight_language = "none"  # most blocks are commands, or lines of a log
# The README of the mixin is in no group; tests/unit/docs/test_readme.py finds a page of docs/ that is in none.
suppress_warnings = ["misc.highlighting_failure", "toc.not_included"]
html_static_path = ["static"]
html_css_files = ["site.css"]

// For sites that build all their mixins with jsonnet; the files themselves need none.
{
  prometheusAlerts+:: std.parseYaml(importstr 'prometheus_alerts.yaml'),
  prometheusRules+:: std.parseYaml(importstr 'prometheus_rules.yaml'),
  grafanaDashboards+:: {
    'miltscan.json': import 'dashboards_out/miltscan.json',
    'miltscan-internals.json': import 'dashboards_out/miltscan-internals.json',
    'miltscan-sandwich.json': import 'dashboards_out/miltscan-sandwich.json',
  },
}

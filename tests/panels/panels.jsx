// Draws the panels of a dashboard with Grafana's own components. `window.scene` is what tests/panels/draw.py writes: the
// panels with their boxes, the results of their queries, the range of time, the colour scheme. The components that no
// package has, state timeline and heat map, are stand-ins, and so are annotations.
import React from 'react';
import { createRoot } from 'react-dom/client';
import { createTheme, dateTime, FieldType, getDisplayProcessor, toDataFrame, ThemeContext } from '@grafana/data';
import { BigValue, GlobalStyles, PanelChrome, PanelContextProvider, Table, TimeSeries } from '@grafana/ui';

const scene = window.scene;
const theme = createTheme({ colors: { mode: scene.scheme } });
const timeZone = 'utc';
const [begin, end] = [scene.begin * 1000, scene.end * 1000];
const timeRange = { from: dateTime(begin), to: dateTime(end), raw: { from: 'now-24h', to: 'now' } };
const PLAIN = {
  axisColorMode: 'text', axisLabel: '', axisPlacement: 'auto', axisBorderShow: false, barAlignment: 0, drawStyle: 'line',
  fillOpacity: 0, gradientMode: 'none', hideFrom: { legend: false, tooltip: false, viz: false }, insertNulls: false,
  lineInterpolation: 'linear', lineWidth: 1, pointSize: 5, scaleDistribution: { type: 'linear' }, showPoints: 'auto',
  spanNulls: false, stacking: { mode: 'none', group: 'A' }, thresholdsStyle: { mode: 'off' },
};

const legend = (format, labels) => format ? format.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, label) => labels[label] ?? '').trim() : 'Value';
const matches = (matcher, name) =>
  matcher.id === 'byName' ? matcher.options === name : new RegExp(matcher.options.replace(/^\/|\/$/g, '')).test(name);

function config(panel, name) {
  const defaults = panel.fieldConfig.defaults;
  const set = { color: { mode: 'thresholds' }, ...defaults, custom: { ...PLAIN, ...defaults.custom } };
  for (const { matcher, properties } of panel.fieldConfig.overrides ?? []) {
    if (!matches(matcher, name)) continue;
    for (const { id, value } of properties) {
      if (id.startsWith('custom.')) set.custom[id.slice(7)] = value; else set[id] = value;
    }
  }
  return set;
}

function gaps(values, step) {
  const known = new Map(values), times = [];
  for (let time = scene.begin; time <= scene.end; time += step) times.push([time, known.get(time) ?? 'NaN']);
  return times;
}

function frames(panel) {
  let seriesIndex = 0;
  return panel.results.flatMap(({ format, series }) => series.map(({ metric, value, values = [value] }) => {
    const name = legend(format, metric);
    if (panel.type === 'timeseries') values = gaps(values, panel.step);
    const own = config(panel, name);
    const frame = toDataFrame({ name, fields: [
      { name: 'Time', type: FieldType.time, values: values.map(([time]) => time * 1000), config: { interval: panel.step * 1000 } },
      { name: 'Value', type: FieldType.number, values: values.map(([, value]) => value === 'NaN' ? null : Number(value)),
        labels: metric, config: { ...own, displayNameFromDS: name } },
    ] });
    frame.fields[1].state = { seriesIndex: seriesIndex++, displayName: own.displayName ?? name };
    for (const field of frame.fields) field.display = getDisplayProcessor({ field, theme, timeZone });
    return frame;
  }));
}

const Empty = ({ panel }) =>
  <div data-empty={panel.title} style={{ color: theme.colors.text.secondary, padding: 24, textAlign: 'center' }}>
    {panel.fieldConfig.defaults.noValue ?? 'No data'}</div>;

function Stat({ panel, width, height }) {
  const found = frames(panel);
  const { options } = panel;
  if (!found.length) return <BigValue width={width} height={height} theme={theme} colorMode={options.colorMode} graphMode="none"
    justifyMode="auto" textMode="value" value={{ numeric: NaN, text: panel.fieldConfig.defaults.noValue ?? 'No data', color: theme.colors.text.secondary }} />;
  const each = width / found.length;
  return <div style={{ display: 'flex' }}>{found.map((frame, index) => {
    const field = frame.fields[1], numbers = field.values.filter(value => value != null);
    field.state.range = { min: Math.min(...numbers), max: Math.max(...numbers), delta: Math.max(...numbers) - Math.min(...numbers) };
    const value = { ...field.display(numbers.at(-1)), title: found.length > 1 ? frame.name : undefined };
    return <BigValue key={index} width={each} height={height} theme={theme} value={value} colorMode={options.colorMode}
      graphMode={options.graphMode} justifyMode={options.justifyMode} textMode={found.length > 1 ? 'value_and_name' : options.textMode}
      sparkline={options.graphMode === 'none' ? undefined : { y: field, x: frame.fields[0], timeRange }} />;
  })}</div>;
}

const nothing = { unsubscribe() {} };
const stream = { subscribe: () => nothing, pipe: () => stream };
const eventBus = { subscribe: () => nothing, getStream: () => stream, publish() {}, newScopedBus: () => eventBus };
const context = { eventBus, sync: () => 0, onToggleSeriesVisibility() {}, canAddAnnotations: () => false, onSplitOpen() {} };

// The annotations: a line at each begin, a shade until its end.
function drawMarks(config) {
  config.addHook('draw', u => {
    const { left, top, width, height } = u.bbox;
    for (const mark of scene.marks) {
      const [from, to] = [mark.begin, mark.end].map(time => u.valToPos(time, 'x', true));
      if (from < left || from > left + width) continue;
      u.ctx.save();
      u.ctx.strokeStyle = u.ctx.fillStyle = theme.visualization.getColorByName(mark.colour);
      u.ctx.setLineDash([4, 4]);
      u.ctx.beginPath(); u.ctx.moveTo(from, top); u.ctx.lineTo(from, top + height); u.ctx.stroke();
      u.ctx.globalAlpha = 0.12;
      u.ctx.fillRect(from, top, to - from, height);
      u.ctx.globalAlpha = 1;
      u.ctx.fillRect(from - 3, top + height, Math.max(6, to - from), 3);
      u.ctx.restore();
    }
  });
  return null;
}

function Graph({ panel, width, height }) {
  const found = frames(panel);
  if (!found.length) return <Empty panel={panel} />;
  return <PanelContextProvider value={context}>
    <TimeSeries frames={found} structureRev={1} timeRange={timeRange} timeZone={timeZone} width={width} height={height}
      legend={panel.options.legend} options={panel.options}>{drawMarks}</TimeSeries></PanelContextProvider>;
}

function Rows({ panel, width, height }) {
  const rows = new Map();
  panel.results.forEach(({ letter, series }) => series.forEach(({ metric, value }) => {
    const { __name__, ...labels } = metric;
    const key = JSON.stringify(labels), row = rows.get(key) ?? { ...labels };
    row[panel.results.length > 1 ? `Value #${letter}` : 'Value'] = Number(value[1]);
    rows.set(key, row);
  }));
  if (!rows.size) return <Empty panel={panel} />;
  const data = [...rows.values()];
  const organized = (panel.transformations ?? []).find(({ id }) => id === 'organize')?.options ?? {};
  const by = panel.options.sortBy?.[0];
  const shown = key => organized.renameByName?.[key] ?? key;
  if (by) data.sort((one, other) => { const key = Object.keys(one).find(k => shown(k) === by.displayName);
    return (one[key] > other[key] ? 1 : -1) * (by.desc ? -1 : 1); });
  const keys = [...new Set(data.flatMap(row => Object.keys(row)))].filter(key => !organized.excludeByName?.[key])
    .sort((one, other) => (organized.indexByName?.[one] ?? 99) - (organized.indexByName?.[other] ?? 99));
  const frame = toDataFrame({ fields: keys.map(key => ({
    name: shown(key), type: typeof data[0][key] === 'number' ? FieldType.number : FieldType.string,
    values: data.map(row => row[key]), config: config(panel, shown(key)) })) });
  for (const field of frame.fields) field.display = getDisplayProcessor({ field, theme, timeZone });
  return <Table data={frame} width={width} height={height} showTypeIcons={false} cellHeight="sm" timeRange={timeRange} />;
}

const INK = theme.colors.text.primary;
const ticks = Array.from({ length: 7 }, (_, index) => begin + 4 * 3600000 * index);
const clock = time => new Date(time).toISOString().slice(11, 16);

function Timeline({ panel, width, height }) {
  const found = frames(panel);
  if (!found.length) return <Empty panel={panel} />;
  const left = 8 + 7.3 * Math.max(...found.map(({ fields }) => fields[1].state.displayName.length)), row = (height - 22) / found.length;
  const at = time => left + (time - begin) / (end - begin) * (width - left - 8);
  return <svg width={width} height={height}>
    {found.map((frame, index) => <g key={index}>
      <text x={left - 6} y={(index + 0.5) * row + 4} fill={INK} fontSize="12" textAnchor="end">{frame.fields[1].state.displayName}</text>
      {frame.fields[1].values.map((value, place) => <rect key={place} x={at(frame.fields[0].values[place])} y={index * row + row * 0.1}
        width={at(panel.step * 1000) - at(0) + 0.5} height={row * 0.8} fill={frame.fields[1].display(value).color} fillOpacity="0.8" />)}
    </g>)}
    {ticks.filter(time => time > begin && time < end).map(time => <text key={time} x={at(time)} y={height - 4} fill={INK} fontSize="11" textAnchor="middle">{clock(time)}</text>)}
  </svg>;
}

function Heat({ panel, width, height }) {
  const bound = frame => frame.name === '+Inf' ? Infinity : Number(frame.name);
  const found = frames(panel).sort((one, other) => bound(one) - bound(other));
  if (!found.length) return <Empty panel={panel} />;
  const cells = found.map((frame, index) => {
    const below = index ? new Map(found[index - 1].fields[0].values.map((time, place) => [time, found[index - 1].fields[1].values[place]])) : new Map();
    return frame.fields[1].values.map((value, place) => [frame.fields[0].values[place], value - (below.get(frame.fields[0].values[place]) ?? 0)]);
  });
  const most = Math.max(1e-9, ...cells.flat().map(([, value]) => value));
  const left = 70, row = (height - 22) / found.length, at = time => left + (time - begin) / (end - begin) * (width - left - 8);
  const unit = panel.options.yAxis.unit;
  return <svg width={width} height={height}>
    {found.map((frame, index) => <g key={index}>
      <text x={left - 6} y={height - 22 - index * row} fill={INK} fontSize="10" textAnchor="end">{frame.name === '+Inf' ? '' : text(frame.name, unit)}</text>
      {cells[index].filter(([, value]) => value > 1e-9).map(([time, value]) => <rect key={time} x={at(time)} y={height - 22 - (index + 1) * row}
        width={at(panel.step * 1000) - at(0) + 0.5} height={row} fill={`rgba(255, 140, 30, ${0.15 + 0.85 * Math.sqrt(value / most)})`} />)}
    </g>)}
    {ticks.filter(time => time > begin && time < end).map(time => <text key={time} x={at(time)} y={height - 4} fill={INK} fontSize="11" textAnchor="middle">{clock(time)}</text>)}
  </svg>;
}

function text(value, unit) {
  const field = { name: 'x', type: FieldType.number, values: [], config: { unit } };
  const shown = getDisplayProcessor({ field, theme, timeZone })(Number(value));
  return shown.text + (shown.suffix ?? '');
}

const KINDS = { heatmap: Heat, stat: Stat, 'state-timeline': Timeline, table: Rows, timeseries: Graph };
const errors = window.errors = [];

class Guard extends React.Component {
  state = {};
  static getDerivedStateFromError(error) { return { error }; }
  componentDidCatch(error) { errors.push(`${this.props.title}: ${error}`); }
  render() { return this.state.error ? String(this.state.error) : this.props.children; }
}

const COLUMN = scene.width / 24, ROW = 38;

function Place({ panel }) {
  const { x, y, w, h } = panel.gridPos;
  const style = { position: 'absolute', left: x * COLUMN, top: y * ROW, width: w * COLUMN - 8, height: h * ROW - 8 };
  if (panel.type === 'row') return <div style={{ ...style, color: INK, fontSize: 18, padding: 6 }}>{panel.collapsed ? '›' : '⌄'} {panel.title}</div>;
  const Kind = KINDS[panel.type];
  return <div style={style}>
    <PanelChrome width={style.width} height={style.height} title={panel.title} padding={panel.type === 'table' ? 'none' : 'md'}>
      {(width, height) => <Guard title={panel.title}><Kind panel={panel} width={width} height={height} /></Guard>}
    </PanelChrome></div>;
}

Date.now = () => end;  // "2 hours ago" is seen from the end of the range
const height = ROW * Math.max(...scene.panels.map(({ gridPos }) => gridPos.y + gridPos.h));
document.body.style.background = theme.colors.background.canvas;
createRoot(document.getElementById('root')).render(<ThemeContext.Provider value={theme}><GlobalStyles />
  <div style={{ position: 'relative', width: scene.width, height }}>
    {scene.panels.map(panel => <Place key={panel.id} panel={panel} />)}
  </div></ThemeContext.Provider>);
requestAnimationFrame(() => setTimeout(() => { document.title = 'drawn'; }, 300));

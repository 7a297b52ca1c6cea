# ruff: noqa: E501 - markup reads better unbroken, and a break inside a cell would show
"""The page of a monitoring report, a Jinja template; styles are inline so that the file stands alone."""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ model }} {{ period }}: monitoring report</title>
<style>
:root { --ink: #1c1e21; --soft: #5d636b; --line: #dfe2e6; --paper: #fff; --panel: #f5f6f8;
        --ok: #00674b; --watch: #8a5a00; --act: #b03a00; --bar: #9cc4e4; }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 62rem; padding: 1.5rem; color: var(--ink); background: var(--paper);
       font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif }
h1 { font-size: 1.5rem; margin: 0 } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem }
.soft { color: var(--soft) }
.verdict { border-left: 6px solid var(--level); background: var(--panel); padding: .8rem 1rem; margin: 1rem 0 }
.verdict b { color: var(--level); text-transform: uppercase; letter-spacing: .04em; margin-right: .5rem }
.ok { --level: var(--ok) } .watch { --level: var(--watch) } .act { --level: var(--act) }
.numbers { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: .8rem }
.numbers div { background: var(--panel); padding: .7rem .9rem }
.numbers strong { display: block; font-size: 1.3rem; font-variant-numeric: tabular-nums; overflow-wrap: anywhere }
.wide { overflow-x: auto }
table { border-collapse: collapse; width: 100%; font-size: .87rem }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top }
th { color: var(--soft); font-weight: 600 }
td.n, th.n { text-align: right }
td.n, td.psi { font-variant-numeric: tabular-nums; white-space: nowrap }
td.name { overflow-wrap: anywhere; min-width: 9rem }
.over { color: var(--act); font-weight: 600 }
.bar { display: inline-block; height: .6rem; background: var(--bar); margin-right: .4rem; vertical-align: baseline }
figure { margin: 1rem 0 } figcaption { color: var(--soft); font-size: .87rem } img { max-width: 100%; height: auto }
@media print { body { max-width: none; padding: 0 } h2, figure { break-inside: avoid } }
</style>
</head>
<body>
<header>
<h1>{{ model }}, version {{ version }}</h1>
<div class="soft">Monitoring report for {{ period }}: {{ "{:,}".format(drift.rows) }} predictions in {{ chunks }} chunks of
{{ spec.chunk }}, compared with the reference the model was accepted on.</div>
</header>

<section class="verdict {{ verdict.level }}"><b>{{ verdict.level }}</b>{{ verdict.sentence }}</section>

<section class="numbers">
<div><span class="soft">strongest drift (PSI)</span><strong>{{ drift.strongest_psi|number }}</strong>{{ drift.strongest_feature }}</div>
<div><span class="soft">features above {{ "%g"|format(drift.threshold) }}</span><strong>{{ drift.drifted|length }} of {{ drift.features }}</strong>over the whole period</div>
{% for metric, value in performance.estimated.items() %}
{% if metric == "roc_auc" or spec.floors.get(metric) is not none %}
<div><span class="soft">estimated {{ metric }}</span><strong>{{ value|number }}</strong>{% if metric in spec.floors %}floor {{ "%g"|format(spec.floors[metric]) }}{% endif %}</div>
{% endif %}
{% endfor %}
{% for metric, value in performance.realised.items() %}
{% if metric == "roc_auc" or spec.floors.get(metric) is not none or metric == "interval_coverage" %}
<div><span class="soft">realised {{ metric }}</span><strong>{{ value|number }}</strong>{{ "{:,}".format(performance.labelled_rows) }} labelled rows, {{ "{:,}".format(performance.missing_labels) }} without a label{% if metric in spec.floors %}, floor {{ "%g"|format(spec.floors[metric]) }}{% endif %}</div>
{% endif %}
{% endfor %}
</section>

<h2>What to do</h2>
<ul>
{% for action in verdict.actions %}
<li>{{ action }}</li>
{% endfor %}
</ul>

<h2>Performance</h2>
<div class="wide">
<table>
<tr><th>metric</th><th>kind</th><th class="n">period</th><th class="n">band</th><th class="n">limit</th><th class="n">rows</th><th class="n">without a label</th><th>chunks, oldest first</th></tr>
{% for row in metrics %}
<tr><td>{{ row.metric }}</td><td>{{ row.kind }}</td>
<td class="n{{ ' over' if row.alert }}">{{ row.value|number }}{{ " ▲" if row.alert }}</td>
<td class="n">{% if row.lower is not none %}{{ row.lower|number }} – {{ row.upper|number }}{% endif %}</td>
<td class="n">{% if row.threshold is not none %}{{ "%g"|format(row.threshold) }}{% endif %}</td>
<td class="n">{{ "{:,}".format(row.rows) }}</td>
<td class="n">{% if row.missing is not none %}{{ "{:,}".format(row.missing) }}{% endif %}</td>
<td>{% for chunk in row.chunks or [] %}<span class="{{ 'over' if chunk.alert }}">{{ chunk.value|number }}{{ "▲" if chunk.alert }}</span>{{ ", " if not loop.last }}{% endfor %}</td></tr>
{% endfor %}
</table>
</div>
{% for miss in misses %}
<p class="over">The estimate was wrong: realised {{ miss.metric }} is {{ miss.realised|number }}, outside the band {{ miss.lower|number }} – {{ miss.upper|number }}. The outcome depends on the features in another way than it did where the estimate was learned.</p>
{% endfor %}
{% for one in record %}
<p class="soft">Estimates of {{ one.metric }} have been off by {{ one.mean|number }} on average so far, by {{ one.greatest|number }} at most and by {{ one.last|number }} last ({{ one.periods }} earlier period{{ "s" if one.periods != 1 }}).</p>
{% else %}
<p class="soft">No earlier period has labels by which to tell how far estimates are off; the band is made of the reference's own errors.</p>
{% endfor %}
<p class="soft">▲ beyond its limit. Estimated: without the labels of this period, learned from the reference and from earlier drops whose
labels are known. The band is three sampling errors either way, and what estimates have been off before. Realised: from rows whose outcome was known when
the period ended; the others are counted as without a label. A dash is a value that is undefined or not yet known.</p>

{% for caption, image in plots.items() %}
<figure><img alt="{{ caption }}" src="data:image/png;base64,{{ image }}"><figcaption>{{ caption }}</figcaption></figure>
{% endfor %}

<h2>Drift by feature</h2>
{% macro table(rows) %}
<div class="wide">
<table>
<tr><th>feature</th><th>PSI, period</th>{% if season %}<th class="n">PSI, a year before</th>{% endif %}{% if weighed %}<th class="n">importance</th>{% endif %}<th class="n">worst chunk</th><th class="n">chunks above</th><th>other methods, greatest of all chunks</th></tr>
{% for row in rows %}
<tr><td class="name">{{ row.feature }}</td>
<td class="psi"><span class="bar" style="width: {{ "%.2f"|format([(row.psi or 0) / drift.threshold, 3]|min * 2) }}rem"></span><span class="{{ 'over' if row.alert }}">{{ row.psi|number }}{{ " ▲" if row.alert }}</span></td>
{% if season %}<td class="n">{{ row.season|number }}</td>{% endif %}
{% if weighed %}<td class="n">{% if row.share is not none %}{{ "%.1f"|format(row.share * 100) }} %{% else %}–{% endif %}</td>{% endif %}
<td class="n">{{ row.worst|number }}</td>
<td class="n">{{ row.over }} of {{ chunks }}</td>
<td>{% for other in row.others or [] %}<span class="{{ 'over' if other.over }}">{{ other.method }} {{ other.value|number }}{{ "▲" if other.over }}</span>{{ ", " if not loop.last }}{% endfor %}</td></tr>
{% endfor %}
</table>
</div>
{% endmacro %}
<p class="soft">{% if weighed %}In the order of impact: PSI times importance, the share of what moves the model's scores.{% else %}In the order of PSI: how much the model listens to each feature is not known of this version.{% endif %} {% if season %}A feature counts as drifted if it has moved both from the reference and from the same season a year before.{% else %}There are no rows of the same season a year before: what is the season and what is a change cannot be told apart.{% endif %}</p>
{{ table(features[:shown]) }}
{% if features|length > shown %}
<details><summary>The other {{ features|length - shown }} features</summary>
{{ table(features[shown:]) }}
</details>
{% endif %}
<p class="soft">▲ above its threshold. PSI decides; the other methods help to see what kind of change it is. chi2 marks any
difference that is not chance (p &lt; 0.05), however small. Reconstruction error, which looks at all features together, alerts in
{{ drift.reconstruction_alerts }} of {{ chunks }} chunks.{% if spec.exclude %} Not watched: {{ spec.exclude|join(", ") }}.{% endif %}</p>
</body>
</html>
"""

# ruff: noqa: E501 - markup reads better unbroken, and a break inside a cell would show
"""The page of a replay, a Jinja template; styles are inline so that the file stands alone."""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{{ model }}: retraining policies replayed</title>
<style>
:root { --ink: #1c1e21; --soft: #5d636b; --line: #dfe2e6; --paper: #fff; --panel: #f5f6f8; --best: #00674b; --missed: #b03a00 }
@media (prefers-color-scheme: dark) {
:root { --ink: #e6e8eb; --soft: #a3a9b2; --line: #3a3f46; --paper: #17191c; --panel: #22262b; --best: #4cc9a0; --missed: #ff9c66 } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 62rem; padding: 1.5rem; color: var(--ink); background: var(--paper);
       font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif }
h1 { font-size: 1.5rem; margin: 0; overflow-wrap: anywhere } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; overflow-wrap: anywhere }
.soft { color: var(--soft) } p.soft { font-size: .87rem }
.sentence { border-left: 6px solid var(--best); background: var(--panel); padding: .8rem 1rem; margin: 1rem 0 }
.wide { overflow-x: auto }
table { border-collapse: collapse; width: 100%; font-size: .87rem }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top }
th { color: var(--soft); font-weight: 600 }
td.n, th.n { text-align: right }
td { font-variant-numeric: tabular-nums }
td.n, td.value, td.version { white-space: nowrap } td.period { min-width: 5rem }
.best { font-weight: 600 } .best td:first-child { color: var(--best) } .missed { color: var(--missed) }
.best .soft { font-weight: 400 }
td.why { overflow-wrap: anywhere; width: 60% }
figure { margin: 1rem 0 } figcaption { color: var(--soft); font-size: .87rem }
img { display: block; width: 100%; min-width: 38rem; height: auto; background: #fff; border-radius: 4px }
@media (max-width: 40rem) {
body { padding: 1rem }
.compared tr { display: grid; grid-template-columns: 3fr 3fr 5fr 3fr; border-bottom: 1px solid var(--line); padding: .3rem 0 }
.compared th, .compared td { border: 0; padding: .1rem .2rem }
.compared tr > :first-child { grid-column: 1 / 3; overflow-wrap: anywhere } .compared tr > :nth-child(2) { grid-column: 3 / 5 }
.lived tr { display: grid; grid-template-columns: 4.5rem 1fr auto; border-bottom: 1px solid var(--line); padding: .3rem 0 }
.lived th, .lived td { border: 0; padding: .1rem .2rem } .lived td.period { min-width: 0 } .lived td.why { grid-column: 1 / -1; width: auto } .lived th.why { display: none } }
@media print { body { max-width: none; padding: 0 } tr, figure { break-inside: avoid } img { min-width: 0 } }
</style>
</head>
<body>
<header>
<h1>{{ model }}: retraining policies replayed</h1>
<div class="soft">{{ periods[0].period }} to {{ periods[-1].period }} lived again under {{ lived|length }} {{ "policy" if lived|length == 1 else "policies" }}, each knowing at every moment only what was known then.
Measured by {{ metric }} once every label was known; {{ "higher" if greater_is_better else "lower" }} is better. Intervals are {{ confidence }}.</div>
</header>

<section class="sentence">{{ sentence }}</section>

<h2>Policies</h2>
<div class="wide">
<table class="compared">
<tr><th>policy</th><th class="n">mean {{ metric }}</th><th class="n">regret</th><th class="n">retrains</th><th class="n">training, s</th><th class="n">delay</th></tr>
{% for one in lived %}
<tr{% if one in best %} class="best"{% endif %}><td>{{ one.policy }}{{ " ★ best" if one in best }}</td>
<td class="n">{{ one.mean|number }} <span class="soft">[{{ one.low|number }}, {{ one.high|number }}]</span></td>
<td class="n">{{ one.regret|number }}</td><td class="n">{{ one.retrains }}</td>
<td class="n">{{ one.training_seconds|number(1) }}</td><td class="n">{{ one.detection_delay|number(1) }}</td></tr>
{% endfor %}
</table>
</div>
<p class="soft">Regret: how far the mean falls short of the best policy's. Training includes the first champion. Delay: periods from a
champion's loss of more than the tolerance to the decision to retrain, 0 is at once; a dash where no fall was answered.</p>

<h2>Timeline</h2>
<figure><div class="wide"><img alt="{{ metric }} by period and policy; the tables below hold the same numbers" src="data:image/png;base64,{{ timeline }}"></div>
<figcaption>{{ metric }} by period; bands are the intervals. A large marker is a retraining at the end of that period: filled where the
new version was promoted, hollow where it was refused.</figcaption></figure>

{% for one in lived %}
<section class="lived">
<h2>{{ one.policy }}{{ " ★ best" if one in best }}</h2>
<table>
<tr><th>period</th><th>{{ metric }}</th><th>version</th><th class="why">decision at the period's end</th></tr>
{% for period in one.periods %}
<tr><td class="period">{{ period.period }}</td>
<td class="value">{{ period.value|number }} <span class="soft">[{{ period.low|number }}, {{ period.high|number }}]</span>{% if period.missed %} <span class="missed" title="beyond the tolerated loss">▼</span>{% endif %}</td>
<td class="version">{{ period.version }}</td>
<td class="why">{% if period.retrained %}<b>{{ "● promoted" if period.promoted else "○ refused" }}</b> · {% endif %}{{ period.decision }}</td></tr>
{% endfor %}
</table>
</section>
{% endfor %}
<p class="soft">The version that scored a period goes by its training cut-off. ● retrained and promoted, ○ retrained and refused,
▼ beyond the champion's own limit, a dash where {{ metric }} is undefined. A retraining
decided at the end of the last period is not carried out: no period is left to show what it is worth.</p>
</body>
</html>
"""

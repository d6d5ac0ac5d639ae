"""The look of the report, in daylight and at night."""

from __future__ import annotations

from typing import Final

STYLE: Final = """
:root{--ground:#f6f7f9;--sheet:#fff;--ink:#1c2430;--faint:#6a7585;--line:#e1e5eb;--blue:#2667b0;
--orange:#d66a26;
--good:#2c8a57;--bad:#c0392b;--same:#d9efe2;--refused:#dfe6f1;--near:#fbe9dc}
@media(prefers-color-scheme:dark){:root{--ground:#12161c;--sheet:#1a2029;--ink:#e4e9f0;--faint:#93a0b2;
--line:#2d3643;
--blue:#6ea8e8;--orange:#f0905a;--good:#5cc08a;--bad:#f0776a;--same:#21402f;--refused:#2b3546;
--near:#3d2c21}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:1040px;margin:0 auto;padding:28px 18px 60px}
header,section{background:var(--sheet);border:1px solid var(--line);border-radius:12px;padding:22px 26px;
margin-bottom:18px}
h1{margin:0 0 8px;font-size:30px;letter-spacing:-.02em}h2{margin:0 0 4px;font-size:19px}
h3{margin:0;font:600 14px ui-monospace,monospace}
p{margin:4px 0 12px;max-width:76ch}.kind,.faint{color:var(--faint)}.kind{margin:0;font-size:13px}
small{color:var(--faint)}
.verdict{display:inline-block;padding:4px 12px;border-radius:99px;background:var(--line);font-weight:600}
.verdict.good{background:var(--good);color:#fff}.verdict.bad{background:var(--bad);color:#fff}
@media(prefers-color-scheme:dark){.verdict.good,.verdict.bad{color:#12161c}}
.facts{display:flex;gap:34px;flex-wrap:wrap;margin:14px 0 6px}.facts b{display:block;font-size:23px}
.facts span{color:var(--faint);font-size:13px}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(230px,1fr));gap:12px;align-items:start}

article{border:1px solid var(--line);border-radius:10px;padding:12px 14px}
article.hit{border-color:var(--orange)}
article p{font-size:13px;margin:4px 0 8px}article ul{list-style:none;margin:0;padding:0}
article li{display:flex;gap:8px;align-items:baseline;font-size:14px}article li span{flex:1;
overflow-wrap:anywhere}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:14px}
td,th{text-align:left;padding:6px 8px;border-bottom:1px solid var(--line);font-weight:normal}
thead th{color:var(--faint);font-size:13px}.n{text-align:right;font-variant-numeric:tabular-nums}
td.good{color:var(--good)}td.bad{color:var(--bad);font-weight:600}
.plots{display:grid;grid-template-columns:repeat(auto-fill,minmax(430px,1fr));gap:14px}
@media(max-width:560px){.plots{grid-template-columns:1fr}header,section{padding:16px}}
figure{margin:0}.plots figure.wide{grid-column:1/-1}figcaption{color:var(--faint);font-size:12px;
text-align:center}
svg{max-width:100%;height:auto;font-size:11px}svg text{fill:var(--ink)}
svg .faint{fill:var(--faint)}svg .strong{font-weight:600}svg .on{fill:var(--sheet)}
rect{shape-rendering:crispEdges}
.grid{stroke:var(--line);fill:none}
.track{fill:var(--line)}
.cut{stroke:var(--bad);stroke-dasharray:5 4}.thin{fill:none;stroke:var(--blue);stroke-opacity:.5;
stroke-width:1.4}
.thin-dot{fill:var(--blue);fill-opacity:.45}.here{fill:var(--orange)}.bar{fill:var(--blue)}
.flip{fill:var(--orange);fill-opacity:.55}.near{fill:var(--near)}
.border{stroke:#1c2430;stroke-width:2;fill:none}.ring{fill:none;stroke:#111;stroke-width:2.5}
.cross{stroke:#111;stroke-width:2.5;fill:none}
.types{width:auto}.types td{width:42px;height:26px;padding:0;text-align:center;font-size:12px;
border:2px solid var(--sheet)}
.types th{border:0;padding:2px 10px 2px 0}.turn{height:118px;vertical-align:bottom;
padding:0 0 6px!important}
.turn span{display:block;width:34px;writing-mode:vertical-rl;transform:rotate(180deg);white-space:nowrap;
padding-left:2px}
.same{background:var(--same)}.refused{background:var(--refused)}.different{background:var(--orange);
color:#fff;font-weight:600}
.none{background:repeating-linear-gradient(45deg,transparent 0 4px,var(--line) 4px 5px)}
.key i{display:inline-block;width:14px;height:14px;border-radius:3px;vertical-align:-2px;margin-left:12px}
.key i:first-child{margin-left:0}
details{border-top:1px solid var(--line);padding:7px 0}summary{cursor:pointer;overflow-wrap:anywhere}
.tag{background:var(--orange);color:#fff;border-radius:99px;padding:1px 8px;font-size:12px;margin-right:6px}
pre{overflow-x:auto;font-size:12px;background:var(--ground);padding:10px;border-radius:8px}
code{font-size:13px}
@media print{body{background:#fff}section,header{break-inside:avoid}}
"""

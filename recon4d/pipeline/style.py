"""The look of a report's page: one style sheet, light and dark, without outside fonts or pictures."""

from __future__ import annotations

STYLE = """
:root{--text:#1c1d22;--dim:#686b76;--line:#dcdee4;--ground:#fff;--panel:#f5f6f8;--one:#3d6bd4;--two:#2f9a6b;
--three:#b2632a;--warn:#fff4da;--warnline:#e0b04a;--good:#e9f6ee;--goodline:#7fbf98;--bad:#c8503c}
@media(prefers-color-scheme:dark){:root{--text:#e7e8ec;--dim:#9a9eaa;--line:#363943;--ground:#16171b;--panel:#202229;
--one:#7ea2f5;--two:#63c596;--three:#e09a63;--warn:#3a3120;--warnline:#8f7434;--good:#1d3026;--goodline:#3f7a57;
--bad:#e58472}}
*{box-sizing:border-box}body{margin:0;background:var(--ground);color:var(--text);font:15px/1.5 system-ui,sans-serif}
main{max-width:80rem;margin:0 auto;padding:1.5rem 1.2rem 4rem}h1{margin:.2rem 0 1rem;font-size:1.7rem}
h2{margin:2.2rem 0 .4rem;font-size:1.2rem}p{margin:.3rem 0 .8rem;max-width:62rem}small,.u,.why{color:var(--dim)}
.tiles{display:flex;flex-wrap:wrap;gap:.7rem}.tiles div{background:var(--panel);border-radius:.6rem;padding:.55rem 1rem}
.tiles b{display:block;font-size:1.25rem;font-variant-numeric:tabular-nums}.tiles span{color:var(--dim);font-size:.85em}
.box{border:1px solid var(--warnline);background:var(--warn);border-radius:.6rem;padding:.7rem 1rem;margin:1rem 0}
.box.good{border-color:var(--goodline);background:var(--good)}.box ul{margin:.3rem 0 0;padding-left:1.2rem}
.row{display:grid;grid-template-columns:repeat(4,minmax(0,1fr));gap:.5rem}.heads{color:var(--dim);font-size:.85em}
.row img{width:100%;display:block;border-radius:.3rem;background:var(--panel)}
.caption{margin:.2rem 0 .9rem;color:var(--dim)}
.badge{background:var(--one);color:var(--ground);border-radius:1rem;padding:.05rem .55rem;font-size:.8em}
.badge.seen{background:var(--line);color:var(--text)}
.strip{display:grid;grid-template-columns:repeat(5,minmax(0,1fr));gap:.6rem}figure{margin:0}
.strip figure{border:2px solid var(--line);border-radius:.5rem;overflow:hidden}.strip img{width:100%;display:block}
.strip figcaption{padding:.15rem .5rem;font-size:.85em;color:var(--dim)}.strip .known{border-color:var(--two)}
.strip .near{border-color:var(--warnline)}.strip .guess{border-color:var(--bad);border-style:dashed}
.key{padding:.05rem .5rem;border-radius:1rem;font-size:.85em;margin-left:.4rem;border:2px solid currentColor}
.key.known,.key.c2{color:var(--two)}.key.near{color:var(--warnline)}.key.guess{color:var(--bad)}.key.c1{color:var(--one)}
.key.c3{color:var(--three)}.pair{display:flex;flex-wrap:wrap;gap:1.4rem;align-items:flex-start}
.pair figure{flex:1 1 20rem;max-width:30rem}figcaption{color:var(--dim);font-size:.88em}
svg{width:100%;background:var(--panel);border-radius:.5rem}svg text{fill:var(--dim);font:10px system-ui,sans-serif}
.grid{stroke:var(--line)}polyline{fill:none;stroke-width:1.6}polyline.c1{stroke:var(--one)}polyline.c2{stroke:var(--two)}
polyline.c3{stroke:var(--three)}circle.c1{fill:var(--one)}circle.c2{fill:none;stroke:var(--two);stroke-width:1.5}
.sure{fill:var(--two)}.view{fill:var(--text);fill-opacity:.75}.subject{fill:var(--two);fill-opacity:.18;stroke:var(--two)}
.cam{fill:var(--one)}.kept{fill:var(--panel);stroke:var(--one)}.look{stroke:var(--one);stroke-opacity:.45}
table{border-collapse:collapse}td,th{padding:.18rem 1rem .18rem 0;text-align:left;border-bottom:1px solid var(--line);
vertical-align:top}.n{text-align:right;font-variant-numeric:tabular-nums}code{font-size:.9em;word-break:break-word}
.wide{overflow-x:auto;margin-top:.6rem}
.stage{border-left:.3rem solid var(--goodline);background:var(--panel);border-radius:.4rem;
padding:.5rem .9rem;margin:.5rem 0}
.stage.unsure{border-color:var(--warnline)}.stage.bad{border-color:var(--bad)}summary{cursor:pointer}
.stage table{margin:.5rem 0 .2rem}
@media(max-width:46rem){.strip{grid-template-columns:repeat(2,minmax(0,1fr))}.row{grid-template-columns:repeat(2,1fr)}
.heads{display:none}}
"""

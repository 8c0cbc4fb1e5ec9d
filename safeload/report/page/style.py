"""The look of the page: one stylesheet, for light, dark and paper, from a telephone to a wide screen.

The page's policy lets in this very text and no other style (`csp`), and no script, image, font or address at all.
"""

from __future__ import annotations

import base64
import hashlib

CSS = """
:root{color-scheme:light dark;--bg:#f6f7f9;--card:#fff;--ink:#17202b;--soft:#566474;--line:#dde3ea;--sunk:#f1f4f7;--link:#0b5cad;
--red:#b3261e;--red-bg:#fdeceb;--red-line:#efb4b0;--amber:#8a5300;--amber-bg:#fff4dd;--amber-line:#ecd29a;
--green:#1b6b3a;--green-bg:#e6f5eb;--green-line:#a9d8ba;
--pickle:#7a4cc2;--storage:#3c7dbd;--record:#4d9b8f;--code:#c2572b;--file:#5b74c9;--unknown:#a28a2b;--structure:#b9c3cd;--unread:#8b95a1;--hot:#d12c22}
@media screen and (prefers-color-scheme:dark){:root{--bg:#0f141a;--card:#171e26;--ink:#e6ebf1;--soft:#9aa8b7;--line:#2b3642;--sunk:#1e2731;--link:#7db8f5;
--red:#ff9d96;--red-bg:#3a1917;--red-line:#74332f;--amber:#f4c569;--amber-bg:#362a10;--amber-line:#6b5420;
--green:#7fd6a0;--green-bg:#12301f;--green-line:#2a6a45;
--pickle:#a98be6;--storage:#5b9bd8;--record:#5fb3a6;--code:#e0804f;--file:#8297e6;--unknown:#cbb04b;--structure:#4c5865;--unread:#66727f;--hot:#ff5e52}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}
main{max-width:1120px;margin:0 auto;padding:24px 20px 64px}
a{color:var(--link)}
h1,h2,h3{line-height:1.25;margin:0;text-wrap:balance}
h2{font-size:1.15rem;margin:0 0 12px}
h3{font-size:1rem}
p{margin:.4em 0}
code,pre,.mono{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;font-size:.88em}
code,bdi{unicode-bidi:isolate;overflow-wrap:anywhere}
.soft{color:var(--soft)}
.small{font-size:.88em}
.num{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.card{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:20px;margin:16px 0}
.banner{border-left-width:8px;padding:22px 24px}
.banner h1{font-size:1.7rem;display:flex;flex-wrap:wrap;align-items:baseline;gap:4px 14px}
.banner h1 .soft{font-size:1rem;font-weight:400}
.banner .path{display:block;font-size:1.02rem;margin:8px 0 2px;font-weight:600}
.rejected.banner,.rejected.file{border-left-color:var(--red)}
.inconclusive.banner,.inconclusive.file{border-left-color:var(--amber)}
.accepted.banner,.accepted.file{border-left-color:var(--green)}
.verdict-rejected{color:var(--red)}
.verdict-inconclusive{color:var(--amber)}
.verdict-accepted{color:var(--green)}
.badge{display:inline-block;border:1px solid;border-radius:99px;padding:0 9px;font-size:.78rem;font-weight:600;line-height:1.55;white-space:nowrap}
.badge.denied,.badge.error,.badge.rejected{color:var(--red);background:var(--red-bg);border-color:var(--red-line)}
.badge.opaque,.badge.warning,.badge.inconclusive{color:var(--amber);background:var(--amber-bg);border-color:var(--amber-line)}
.badge.allowed,.badge.accepted{color:var(--green);background:var(--green-bg);border-color:var(--green-line)}
.badge.note,.badge.plain{color:var(--soft);background:var(--sunk);border-color:var(--line)}
dl.facts{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:4px 18px;margin:14px 0 0}
dl.facts dt{color:var(--soft)}
dl.facts dd{margin:0;min-width:0;overflow-wrap:anywhere}
.scroll{overflow-x:auto;max-width:100%}
table{border-collapse:collapse;width:100%;font-size:.9rem}
th{text-align:left;color:var(--soft);font-weight:600;font-size:.8rem;white-space:nowrap}
th,td{padding:6px 10px 6px 0;border-bottom:1px solid var(--line);vertical-align:top}
tr:last-child td{border-bottom:0}
th.num{text-align:right}
td.wide{min-width:15em}
td code{overflow-wrap:break-word}
.nowrap{white-space:nowrap}
td:first-child>code{display:inline-block;min-width:15em;overflow-wrap:anywhere}
.scale{display:flex;justify-content:space-between;margin:4px 0 10px}
svg.flow+*,.scroll+.scroll{margin-top:18px}
.finding{border:1px solid var(--line);border-left:4px solid var(--soft);border-radius:10px;padding:14px 16px;margin:12px 0}
.finding.error{border-left-color:var(--red)}
.finding.warning{border-left-color:var(--amber)}
.finding h3{display:flex;flex-wrap:wrap;gap:4px 10px;align-items:center}
.finding .message{font-size:1.02rem;margin:.5em 0}
.listing{background:var(--sunk);border-radius:8px;padding:8px 12px;margin:10px 0;overflow-x:auto}
.listing table{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;font-size:.82rem;width:auto;min-width:100%}
.listing td{border:0;padding:1px 14px 1px 0;white-space:pre}
.listing tr.here td{color:var(--red);font-weight:700}
.listing .remark{color:var(--soft)}
.listing tr.here .remark{color:var(--red)}
pre{background:var(--sunk);border-radius:8px;padding:10px 12px;margin:8px 0;overflow-x:auto;white-space:pre}
pre.wrap{white-space:pre-wrap;overflow-wrap:anywhere}
details{margin:10px 0}
summary{cursor:pointer;color:var(--link)}
svg{display:block;width:100%;height:auto}
svg.bar{height:46px;border-radius:8px;background:var(--sunk)}
svg.counts{height:14px;border-radius:7px;margin-top:16px}
svg.flow{min-width:820px}
svg text{fill:var(--ink);font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif;font-size:12px}
svg text.name{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;font-size:11.5px}
svg text.head{fill:var(--soft);font-weight:600}
svg text.halo{paint-order:stroke;stroke:var(--card);stroke-width:4px;stroke-linejoin:round}
.f-pickle{fill:var(--pickle)}.f-storage{fill:var(--storage)}.f-record{fill:var(--record)}.f-code{fill:var(--code)}.f-file{fill:var(--file)}
.f-unknown{fill:var(--unknown)}
.f-structure,.f-directory{fill:var(--structure)}.f-unread{fill:var(--unread)}.f-gap,.f-overlap{fill:var(--hot)}
.f-accepted{fill:var(--green)}.f-rejected{fill:var(--red)}.f-inconclusive{fill:var(--amber)}
.n-denied{fill:var(--red)}.n-opaque{fill:var(--amber)}.n-allowed{fill:var(--green)}.n-mixed{fill:var(--soft)}
.l-denied{fill:var(--red);opacity:.42}.l-opaque{fill:var(--amber);opacity:.36}.l-allowed{fill:var(--green);opacity:.26}
.swatch{display:inline-block;width:12px;height:12px;vertical-align:-1px;margin-right:6px;border-radius:3px}
svg.swatch{width:12px;height:12px;display:inline-block}
.alarm{color:var(--red);background:var(--red-bg);border:1px solid var(--red-line);border-radius:8px;padding:8px 12px;margin:10px 0}
.remark-box{background:var(--sunk);border-radius:8px;padding:8px 12px;margin:10px 0}
.two{display:grid;grid-template-columns:repeat(auto-fit,minmax(280px,1fr));gap:12px 20px}
.opinion{border:1px solid var(--line);border-radius:10px;padding:12px 14px}
.opinion .said{font-size:1.1rem;font-weight:700}
footer{color:var(--soft);font-size:.84rem;margin-top:28px}
nav.index table td:first-child{min-width:12em}
section.file{border-left-width:8px;margin-top:28px}
section.file>h2{font-size:1.2rem}
.part{border-top:1px solid var(--line);margin-top:18px;padding-top:14px}
.part>h3{margin-bottom:10px}
@media (max-width:620px){main{padding:12px 10px 40px}.card{padding:14px;border-radius:10px}.banner{padding:16px}.banner h1{font-size:1.35rem}
dl.facts{grid-template-columns:minmax(0,1fr);gap:0}dl.facts dd{margin-bottom:8px}.finding{padding:12px}
table.stacked,table.stacked tbody,table.stacked tr,table.stacked td{display:block;width:auto}table.stacked thead{display:none}
table.stacked tr{border-bottom:1px solid var(--line);padding:8px 0}table.stacked tr:last-child{border-bottom:0}
table.stacked td{border:0;padding:2px 0;text-align:left;white-space:normal;min-width:0}table.stacked td:empty{display:none}
table.stacked td:not(:first-child)::before{content:attr(data-head) ": ";color:var(--soft);font-size:.82rem}
table.stacked td:first-child>code{min-width:0;font-weight:600}
table.stacked br{display:none}}
@media print{:root{color-scheme:light;--bg:#fff;--sunk:#f4f4f4}body{font-size:10pt}main{max-width:none;padding:0}
.card{border-color:#bbb;padding:12px 14px}.finding,.opinion,tr,svg{break-inside:avoid}h2,h3{break-after:avoid}
pre,.listing td:nth-child(n+3){white-space:pre-wrap;overflow-wrap:anywhere}
td.wide{min-width:0}td:first-child>code{min-width:10em}th,td{padding:4px 6px 4px 0}table{font-size:8.5pt}.nowrap{white-space:normal}
.scroll,.listing,pre{overflow:visible}svg.flow{min-width:0}a,summary{color:inherit;text-decoration:none}
details::details-content{content-visibility:visible;block-size:auto}
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}}
"""


def csp() -> str:
    """The page's content security policy: nothing from anywhere, and of styles this one."""
    digest = base64.b64encode(hashlib.sha256(CSS.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"

//! The shell of a page: its style, its head, its sections.

use super::escape;
use crate::plots::{Plot, palette_css};

/// A whole page around this body.
pub(super) fn page(title: &str, body: &str) -> String {
    let (title, palette) = (escape(title), palette_css());
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{title}</title>\n<style>{STYLE}{palette}</style>\n</head>\n\
         <body>\n<main>\n{body}</main>\n</body>\n</html>\n"
    )
}

/// A section with a heading; nothing if it is empty.
pub(super) fn section(heading: &str, body: &str) -> String {
    if body.is_empty() {
        return String::new();
    }
    format!("<section>\n<h2>{}</h2>\n{body}</section>\n", escape(heading))
}

/// A paragraph of text.
pub(super) fn paragraph(text: &str) -> String {
    format!("<p>{}</p>\n", escape(text))
}

/// The plots as figures.
pub(super) fn figures(plots: &[Plot]) -> String {
    let figure = |plot: &Plot| {
        format!(
            "<figure class=\"{}\">\n{}<figcaption>{}</figcaption>\n</figure>\n",
            plot.name,
            plot.svg,
            escape(&plot.caption)
        )
    };
    plots.iter().map(figure).collect()
}

/// Text that folds away.
pub(super) fn folded(summary: &str, text: &str) -> String {
    if text.trim().is_empty() {
        return String::new();
    }
    let (summary, text) = (escape(summary), escape(text));
    format!("<details><summary>{summary}</summary><pre>{text}</pre></details>\n")
}

/// Parts of a page that fold away; nothing if there are none.
pub(super) fn folded_part(summary: &str, html: &str) -> String {
    if html.is_empty() {
        return String::new();
    }
    format!("<details><summary>{}</summary>\n{html}</details>\n", escape(summary))
}

const STYLE: &str = r"
:root{--paper:#fff;--ink:#1f2933;--muted:#62707e;--line:#dfe4ea;--soft:#f5f7f9;--ok:#0b6b4f;--ok-soft:#e4f4ee;
--bad:#a51d30;--bad-soft:#fcebec;--warn:#8a5a00;--warn-soft:#fdf3dc}
@media (prefers-color-scheme:dark){:root{--paper:#14181d;--ink:#e4e9ee;--muted:#9aa7b4;--line:#2e3741;--soft:#1c2229;
--ok:#67d3ac;--ok-soft:#12332a;--bad:#ff8f9c;--bad-soft:#3d1a20;--warn:#f2c46d;--warn-soft:#3a2d10}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;
-webkit-text-size-adjust:100%}
main{max-width:1080px;margin:0 auto;padding:40px 24px 80px}
header{margin-bottom:24px}
.kicker{color:var(--muted);font-size:13px;letter-spacing:.06em;text-transform:uppercase;margin:0 0 4px}
h1{font-size:32px;line-height:1.2;margin:0 0 8px;letter-spacing:-.01em;text-wrap:balance}
h2{font-size:21px;margin:48px 0 12px;padding-top:14px;border-top:1px solid var(--line)}
h3{font-size:16px;margin:24px 0 8px}
p{margin:8px 0;max-width:72ch}
.muted,figcaption{color:var(--muted)}
.facts{color:var(--muted);margin:0}
.banner{border-radius:10px;padding:16px 20px;margin:20px 0;border-left:6px solid}
.banner strong{font-size:19px}
.banner p{margin:4px 0 0}
.banner.ok{background:var(--ok-soft);border-color:var(--ok)}
.banner.violated{background:var(--bad-soft);border-color:var(--bad)}
.banner.undecided,.banner.note{background:var(--warn-soft);border-color:var(--warn)}
.chips{display:flex;flex-wrap:wrap;gap:8px;margin:12px 0 0;padding:0;list-style:none}
.chips li{border-radius:99px;padding:2px 12px;font-size:14px;background:var(--paper);border:1px solid var(--line)}
.ok-word{color:var(--ok);font-weight:600}.violated-word{color:var(--bad);font-weight:600}.undecided-word{color:var(--warn);font-weight:600}.not-judged-word{color:var(--muted);font-weight:600}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(172px,1fr));gap:12px;margin:20px 0}
.card{background:var(--soft);border-radius:10px;padding:14px 16px}
.card b{display:block;font-size:27px;line-height:1.25;font-weight:650;font-variant-numeric:tabular-nums;letter-spacing:-.01em}
.card span{display:block;font-size:14px}
.card small{display:block;color:var(--muted);font-size:12.5px;line-height:1.4;margin-top:2px}
.scroll{overflow-x:auto;margin:12px 0}
table{border-collapse:collapse;font-size:14px;font-variant-numeric:tabular-nums;width:100%}
th,td{padding:6px 8px;text-align:right;border-bottom:1px solid var(--line);vertical-align:top;white-space:nowrap}
th{font-weight:600;white-space:normal;vertical-align:bottom;color:var(--muted);border-bottom-width:2px}
th:first-child,td:first-child,td:has(.left),th:has(.left),td:has(.wrap){text-align:left}td:first-child{white-space:normal}
.wrap{display:inline-block;white-space:normal;min-width:22ch}
td small{color:var(--muted)}
tr.differs td{background:var(--warn-soft)}
figure{margin:20px 0;break-inside:avoid}
figure svg{display:block;width:100%;height:auto;background:#fff;border:1px solid var(--line);border-radius:10px}
figcaption{font-size:14px;margin-top:8px;max-width:80ch}
dl{display:grid;grid-template-columns:max-content 1fr;gap:4px 20px;font-size:14.5px;margin:12px 0}
dt{font-weight:600}dd{margin:0;overflow-wrap:anywhere}
pre,code{font:13px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
pre{background:var(--soft);border-radius:8px;padding:12px 14px;overflow-x:auto;white-space:pre-wrap;overflow-wrap:anywhere}
details{margin:8px 0}summary{cursor:pointer;color:var(--muted)}
.name{white-space:nowrap}.claim{display:inline-block;white-space:normal;max-width:16ch}.side{display:inline-block;width:.7em;height:.7em;border-radius:3px;background:var(--side);margin-right:.45em}
@media (max-width:640px){dl{grid-template-columns:1fr}dd{margin-bottom:6px}main{padding:24px 16px 60px}}
@media print{:root{--paper:#fff;--ink:#111;--muted:#555;--line:#ccc;--soft:#f5f5f5;--ok:#0b6b4f;--ok-soft:#fff;--bad:#a51d30;--bad-soft:#fff;--warn:#8a5a00;--warn-soft:#fff}
body{font-size:10.5pt}main{max-width:none;padding:0}h2{margin-top:24px;break-after:avoid}tr,.card,.banner{break-inside:avoid}.scroll{overflow:visible}
table{font-size:8.5pt}th,td{padding:3px 6px}}
";

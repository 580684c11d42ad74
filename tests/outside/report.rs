//! The report before the programs that read it: a browser, LaTeX. Where one is not installed, its test says so and passes.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{root, sbp, succeed};

/// What `sbp report` writes of the fixture, in a folder of its own.
fn report() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let fixture = root().join("tests/fixtures/results.json");
    fs::copy(fixture, folder.path().join("results.json")).expect("it can be copied");
    succeed(sbp(folder.path()).args(["report", "results.json", "--paper"]));
    folder
}

/// The first of these programs that is installed.
fn installed(programs: &[&str]) -> Option<PathBuf> {
    let folders: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH")?).collect();
    let all = programs.iter().flat_map(|program| folders.iter().map(move |folder| folder.join(program)));
    all.into_iter().find(|path| path.is_file())
}

#[expect(clippy::print_stderr, reason = "a test that is skipped says why")]
fn skipped(test: &str, missing: &str) {
    eprintln!("skipped: {test} needs {missing}, and none is installed");
}

#[test]
fn the_table_compiles_with_booktabs_alone() {
    let Some(latex) = installed(&["pdflatex", "tectonic"]) else {
        return skipped("the LaTeX table", "pdflatex or tectonic");
    };
    let folder = report();
    let paper = "\\documentclass{article}\n\\usepackage{booktabs}\n\\begin{document}\n\\input{table}\n\\end{document}\n";
    fs::write(folder.path().join("paper.tex"), paper).expect("it can be written");
    let mut command = Command::new(&latex);
    if latex.ends_with("pdflatex") {
        command.args(["-interaction=nonstopmode", "-halt-on-error"]);
    }
    let said = succeed(command.arg("paper.tex").current_dir(folder.path()));
    assert!(folder.path().join("paper.pdf").exists(), "{said}");
    assert!(!said.contains("Overfull"), "the table is wider than the page\n{said}");
}

#[test]
fn the_page_opens_in_a_browser_in_light_and_in_dark() {
    let Some(browser) = browser() else {
        return skipped("the page", "Chromium or Chrome (see also $CHROME)");
    };
    let folder = report();
    let page = folder.path().join("report.html");

    let (dom, complaints) = open(&browser, &page, &["--dump-dom"]);
    assert_eq!(complaints, [""; 0]);
    for id in [
        "asked",
        "results",
        "loss",
        "dynamics",
        "pairs",
        "quality",
        "ledger",
        "paper",
        "samples",
        "provenance",
    ] {
        assert!(dom.contains(&format!("id=\"{id}\"")), "{id} is missing in\n{dom}");
    }
    assert!(!dom.contains("<script"), "{dom}");

    // Dark and light, as Chromium numbers them.
    for (scheme, name, is_right) in [
        ("0", "dark", (|luminance| luminance < 60) as fn(u32) -> bool),
        ("1", "light", (|luminance| luminance > 200) as fn(u32) -> bool),
    ] {
        let screenshot = folder.path().join(format!("{name}.png"));
        let arguments = [
            format!("--screenshot={}", screenshot.display()),
            format!("--blink-settings=preferredColorScheme={scheme}"),
            "--window-size=1200,2400".to_owned(),
        ];
        let (_, complaints) = open(&browser, &page, &arguments.each_ref().map(String::as_str));
        assert_eq!(complaints, [""; 0]);
        let (corner, num_colours) = seen(&screenshot);
        assert!(is_right(corner), "{name}: the corner's luminance is {corner}");
        assert!(num_colours > 100, "{name}: {num_colours} colours");
    }

    // What the page must not do would be noticed.
    let text = fs::read_to_string(&page).expect("it is text");
    for intruder in
        ["<img src=\"https://example.org/one.png\" alt=\"\"/>", "<script>document.title = 'x'</script>"]
    {
        let other = folder.path().join("other.html");
        fs::write(&other, text.replace("</main>", &format!("{intruder}</main>"))).expect("it can be written");
        let (_, complaints) = open(&browser, &other, &["--dump-dom"]);
        assert_eq!(complaints.len(), 1, "{intruder}: {complaints:?}");
    }
}

/// Measures the page from within, for which its policy is taken out.
const MEASURE: &str = "<script>
const height = cell => {
  const range = document.createRange();
  range.selectNodeContents(cell);
  return range.getBoundingClientRect().height;
};
const numbers = [...document.querySelectorAll('td.n')];
const broken = numbers.filter(cell => height(cell) > 1.5 * parseFloat(getComputedStyle(cell).lineHeight));
const fits = document.documentElement.scrollWidth <= window.innerWidth;
const texts = broken.map(cell => cell.textContent);
document.title = `fits: ${fits}, many numbers: ${numbers.length > 100}, broken: [${texts}]`;
</script>";

#[test]
fn on_a_narrow_screen_tables_scroll_and_numbers_stay_whole() {
    let Some(browser) = browser() else {
        return skipped("the narrow page", "Chromium or Chrome (see also $CHROME)");
    };
    let folder = report();
    let text = fs::read_to_string(folder.path().join("report.html")).expect("it is text");
    let policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";
    assert!(text.contains(policy));
    let page = folder.path().join("measured.html");
    let measured = text.replace(policy, "").replace("</body>", &format!("{MEASURE}</body>"));
    fs::write(&page, measured).expect("it can be written");
    // A browser without a screen may take 500 for its least width, which is narrow too.
    let (dom, complaints) = open(&browser, &page, &["--window-size=400,900", "--dump-dom"]);
    assert_eq!(complaints, [""; 0]);
    let title = dom.split("<title>").nth(1).and_then(|rest| rest.split("</title>").next());
    assert_eq!(title, Some("fits: true, many numbers: true, broken: []"));
}

fn browser() -> Option<PathBuf> {
    let own = std::env::var_os("CHROME").map(PathBuf::from);
    own.or_else(|| installed(&["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]))
}

/// Opens a page without a screen. What it printed, and what it complained of in its console: errors of scripts, and requests
/// that the page's policy forbids.
fn open(browser: &Path, page: &Path, arguments: &[&str]) -> (String, Vec<String>) {
    let profile = tempfile::tempdir().expect("a folder");
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"])
        .args(["--no-first-run", "--disable-background-networking", "--disable-component-update"])
        .args(["--enable-logging=stderr", "--v=0"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(arguments)
        .arg(format!("file://{}", page.display()))
        .output()
        .expect("the browser starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let log = String::from_utf8_lossy(&output.stderr);
    let complaints = log.lines().filter(|line| line.contains(":CONSOLE")).map(str::to_owned).collect();
    (String::from_utf8_lossy(&output.stdout).into_owned(), complaints)
}

/// Luminance of a screenshot's corner, 0 to 255, and how many colours it has.
fn seen(screenshot: &Path) -> (u32, usize) {
    let file = BufReader::new(File::open(screenshot).expect("a screenshot"));
    let mut decoder = zune_png::PngDecoder::new(file);
    let bytes = decoder.decode_raw().expect("it is a whole PNG");
    let width = decoder.colorspace().expect("it was read").num_components();
    let pixels: Vec<[u8; 3]> =
        bytes.chunks_exact(width).map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect();
    let luminance = pixels[0].iter().map(|part| u32::from(*part)).sum::<u32>() / 3;
    let colours: std::collections::HashSet<[u8; 3]> = pixels.into_iter().collect();
    (luminance, colours.len())
}

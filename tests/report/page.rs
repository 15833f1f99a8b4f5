//! The page, and how a real browser shows it: in light and dark, with its charts, without a
//! network and without a complaint.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::process::Command;

use crate::{oncekey, printed};

const ARGS: [&str; 6] = ["--synth", "60000", "--ttl", "24h", "--format", "html"];

/// Each chart has a title and a description, or is said to be of no meaning by itself.
#[test]
fn charts_are_said_in_words_and_nothing_is_fetched() {
    let page = printed(&ARGS);
    for foreign in ["http:", "https:", "//", "<script", "url(", "@import", "<iframe"] {
        let found = page.find(foreign).map(|at| &page[at.saturating_sub(60)..at + 20]);
        assert_eq!(found, None, "{foreign}");
    }
    assert!(page.contains("default-src 'none'"));
    let mut charts = 0;
    for svg in page.split("<svg ").skip(1) {
        let (head, rest) = svg.split_once('>').expect("an end");
        let named = head.contains("role=\"img\"")
            && (head.contains("aria-label=") || rest.starts_with("<title id="));
        assert!(named || head.contains("aria-hidden=\"true\""), "{head}");
        charts += usize::from(head.contains("aria-labelledby"));
    }
    assert_eq!(charts, 4, "requests, collisions, verdicts, TTL");
    for open in ["svg", "table", "tr", "td", "ul", "li", "div", "p", "span"] {
        let count = |text: &str| page.matches(text).count();
        let begun = count(&format!("<{open}>")) + count(&format!("<{open} "));
        assert_eq!(begun, count(&format!("</{open}>")), "{open}");
    }
}

/// What a browser showed, and what it complained about.
struct Shown {
    pixels: Vec<[u8; 3]>,
    complaints: Vec<String>,
}

impl Shown {
    fn count(&self, colour: u32) -> usize {
        let [_, r, g, b] = colour.to_be_bytes();
        self.pixels.iter().filter(|pixel| **pixel == [r, g, b]).count()
    }
}

/// Opens a page in headless Chromium, which prefers dark (0) or light (1).
fn shown(page: &Path, scheme: u8) -> Shown {
    let dir = tempfile::tempdir().expect("a directory");
    let picture = dir.path().join("page.png");
    let output = Command::new("chromium")
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"])
        .args(["--window-size=1000,2400", "--force-device-scale-factor=1"])
        .args(["--enable-logging=stderr", "--host-resolver-rules=MAP * ~NOTFOUND"])
        .arg(format!("--user-data-dir={}", dir.path().join("profile").display()))
        .arg(format!("--blink-settings=preferredColorScheme={scheme}"))
        .arg(format!("--screenshot={}", picture.display()))
        .arg(format!("file://{}", page.display()))
        .output()
        .expect("Chromium: apt-get install chromium");
    let log = String::from_utf8_lossy(&output.stderr);
    let complaints = log.lines().filter(|line| line.contains("CONSOLE"));
    let complaints = complaints.map(str::to_owned).collect();
    let file = File::open(&picture).unwrap_or_else(|error| panic!("no picture: {error}\n{log}"));
    let mut reader = png::Decoder::new(BufReader::new(file)).read_info().expect("a picture");
    let mut bytes = vec![0; reader.output_buffer_size().expect("a size")];
    let info = reader.next_frame(&mut bytes).expect("a picture");
    assert_eq!((info.width, info.bit_depth), (1000, png::BitDepth::Eight));
    let pixels = bytes.chunks(info.color_type.samples());
    let pixels = pixels.map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect();
    Shown { pixels, complaints }
}

#[test]
#[ignore = "it needs Chromium (apt-get install chromium); CI runs it"]
fn a_browser_shows_the_charts_in_light_and_dark() {
    let dir = tempfile::tempdir().expect("a directory");
    let page = dir.path().join("report.html");
    let path = page.to_str().expect("UTF-8");
    let output = oncekey(&[ARGS.as_slice(), &["-o", path]].concat());
    assert!(output.status.success(), "{output:?}");

    // The back, and the colours of requests, races, retries, key reuse and loops, by the style.
    let light = [0xffffff, 0x0072b2, 0x56b4e9, 0x009e73, 0xd55e00, 0x7f7f7f];
    let dark = [0x0f1419, 0x4aa8e0, 0x8fd0f5, 0x2ecc9a, 0xff8a3d, 0xa6a6a6];
    for (scheme, own, other) in [(1, light, dark), (0, dark, light)] {
        let shown = shown(&page, scheme);
        assert_eq!(shown.complaints, Vec::<String>::new());
        let counts = own.map(|colour| shown.count(colour));
        let [back, charts @ ..] = counts;
        assert!(back > 1_000_000, "scheme {scheme}: {counts:?}");
        assert!(charts.iter().all(|count| *count > 500), "scheme {scheme}: {counts:?}");
        assert!(charts[0] > 20_000, "requests fill their chart: {counts:?}");
        let strange = other.map(|colour| shown.count(colour));
        let strange: usize = strange.iter().skip(1).sum();
        assert!(strange < 200, "colours of the other scheme: {strange}");
    }

    // A page that is not as it should be is found out.
    let bad = std::fs::read_to_string(&page).expect("a page");
    let bad = bad.replace("</main>", "<script>alert(1)</script></main>");
    std::fs::write(&page, bad).expect("written");
    let complaints = shown(&page, 1).complaints;
    assert!(!complaints.is_empty(), "a script that may not run is told on the console");
}

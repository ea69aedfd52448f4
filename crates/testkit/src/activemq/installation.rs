//! Which ActiveMQ the tests run against, and our Java programs compiled for it.
//!
//! It is Debian's package unless [`VERSION_VARIABLE`] names another line of releases, whose newest is
//! then fetched from Maven Central, once, into the target folder: the release's own jars and what they
//! need, by exact versions. Our programs in `java/` are compiled against it and kept there as well.
//! ActiveMQ 6 has renamed the packages of JMS, which is the only difference that their source knows.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};

use crate::guests::target_dir;
use crate::setup::{self, Java, run};

/// The environment variable that chooses the release, one of [`LINES`]; without it, Debian's 5.17.
///
/// `cargo xtask test --activemq 6` sets it.
pub const VERSION_VARIABLE: &str = "GRISTMILL_ACTIVEMQ";

/// The lines of releases that tests can run with.
pub const LINES: [&str; 3] = [DEBIAN_LINE, "5.19", "6"];

const DEBIAN_LINE: &str = "5.17";

/// A release on Maven Central.
struct Release {
    /// The value of [`VERSION_VARIABLE`].
    line: &'static str,
    version: &'static str,
    /// The oldest Java that it runs on.
    java: u32,
    has_jakarta_names: bool,
    /// Everything but ActiveMQ's own jars, as in `group:artifact:version`.
    others: &'static [&'static str],
}

/// ActiveMQ's own jars, all of the release's version.
const OWN: [&str; 5] = [
    "activemq-broker",
    "activemq-client",
    "activemq-jaas",
    "activemq-kahadb-store",
    "activemq-openwire-legacy",
];

const RELEASES: [Release; 2] = [
    Release {
        line: "5.19",
        version: "5.19.2",
        java: 11,
        has_jakarta_names: false,
        others: &[
            "org.apache.activemq.protobuf:activemq-protobuf:1.1",
            "org.fusesource.hawtbuf:hawtbuf:1.11",
            "jakarta.jms:jakarta.jms-api:2.0.3",
            "org.slf4j:slf4j-api:2.0.17",
            "org.slf4j:slf4j-simple:2.0.17",
        ],
    },
    Release {
        line: "6",
        version: "6.3.1",
        java: 17,
        has_jakarta_names: true,
        others: &[
            "org.apache.activemq.protobuf:activemq-protobuf:6.3.1",
            "org.fusesource.hawtbuf:hawtbuf:1.11",
            "jakarta.jms:jakarta.jms-api:3.1.0",
            "org.slf4j:slf4j-api:2.0.18",
            "org.slf4j:slf4j-simple:2.0.18",
        ],
    },
];

/// The oldest Java that Debian's 5.17 runs on.
const JAVA_OLDEST: u32 = 11;

/// Debian has its jars in a folder for all programs, and links to those of ActiveMQ in another.
const DEBIAN_CLASS_PATH: &str = "/usr/share/activemq/lib/*:/usr/share/java/slf4j-simple.jar";

const MAVEN_CENTRAL: &str = "https://repo.maven.apache.org/maven2";

/// The Java programs, by their file names.
const SOURCES: [(&str, &str); 5] = [
    ("Broker.java", include_str!("../../java/Broker.java")),
    ("Json.java", include_str!("../../java/Json.java")),
    ("Messages.java", include_str!("../../java/Messages.java")),
    ("Peer.java", include_str!("../../java/Peer.java")),
    ("Tls.java", include_str!("../../java/Tls.java")),
];

/// Everything to run a server or a client with.
#[derive(Debug)]
pub(crate) struct Installation {
    pub(crate) java: PathBuf,
    /// Our compiled programs, then the release.
    pub(crate) class_path: String,
}

/// Finds, installs, fetches and compiles what the servers of this process need. Later calls cost
/// nothing.
pub(crate) fn installation() -> Result<Arc<Installation>> {
    static FOUND: Mutex<Option<Arc<Installation>>> = Mutex::new(None);
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = &*found {
        return Ok(Arc::clone(found));
    }
    let made = Arc::new(make()?);
    *found = Some(Arc::clone(&made));
    Ok(made)
}

/// Does all that the first server would otherwise do: finds, installs, fetches and compiles.
///
/// # Errors
///
/// When something is missing and cannot be had; the message says what to run.
pub fn fetch() -> Result<()> {
    installation().map(drop)
}

fn make() -> Result<Installation> {
    let release = chosen(env::var_os(VERSION_VARIABLE).as_deref())?;
    let java = setup::java()?;
    let (name, oldest) = match release {
        Some(release) => (release.version, release.java),
        None => (DEBIAN_LINE, JAVA_OLDEST),
    };
    ensure!(
        java.release >= oldest,
        "ActiveMQ {name} needs Java {oldest} or later, and {} is Java {}; install a later one \
         (Debian: apt-get install openjdk-17-jdk-headless) or let JAVA_HOME name one",
        java.java.display(),
        java.release
    );

    let folder = target_dir().join("activemq");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    // One process fetches and compiles, the others find its work.
    let path = folder.join(".lock");
    let lock = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
    lock.lock().with_context(|| format!("cannot lock {}", path.display()))?;
    let jars = match release {
        Some(release) => format!("{}/*", release.fetch(&folder)?.display()),
        None => {
            setup::activemq().with_context(|| {
                format!("{VERSION_VARIABLE}=5.19 would have ActiveMQ from Maven Central instead")
            })?;
            DEBIAN_CLASS_PATH.to_owned()
        }
    };
    let has_jakarta_names = release.is_some_and(|release| release.has_jakarta_names);
    let classes = compile(&java, &jars, has_jakarta_names, &folder)?;
    Ok(Installation { java: java.java, class_path: format!("{}:{jars}", classes.display()) })
}

fn chosen(line: Option<&OsStr>) -> Result<Option<&'static Release>> {
    let Some(line) = line.filter(|line| !line.is_empty() && *line != DEBIAN_LINE) else {
        return Ok(None);
    };
    let release = RELEASES.iter().find(|release| line == release.line);
    release.map(Some).with_context(|| {
        format!("{VERSION_VARIABLE} is {}; it can be one of {}", line.display(), LINES.join(", "))
    })
}

impl Release {
    /// The folder with the jars, which appears when it is whole.
    fn fetch(&self, parent: &Path) -> Result<PathBuf> {
        let folder = parent.join(self.version);
        if folder.is_dir() {
            return Ok(folder);
        }
        let partial = tempfile::Builder::new()
            .prefix("fetching-")
            .tempdir_in(parent)
            .with_context(|| format!("cannot create a folder in {}", parent.display()))?;
        let jars = self.jars();
        let fetched = match setup::find_program("mvn") {
            Some(maven) => fetch_by_maven(&maven, &jars, partial.path()),
            None => fetch_by_curl(&jars, partial.path()),
        };
        fetched.with_context(|| {
            format!("cannot fetch ActiveMQ {} from Maven Central", self.version)
        })?;
        fs::rename(partial.path(), &folder)
            .with_context(|| format!("cannot write {}", folder.display()))?;
        Ok(folder)
    }

    /// All jars, as group, artifact and version.
    fn jars(&self) -> Vec<[&'static str; 3]> {
        let own = OWN.iter().map(|artifact| ["org.apache.activemq", *artifact, self.version]);
        let others = self.others.iter().filter_map(|jar| {
            let mut parts = jar.split(':');
            Some([parts.next()?, parts.next()?, parts.next()?])
        });
        own.chain(others).collect()
    }
}

fn fetch_by_maven(maven: &Path, jars: &[[&str; 3]], folder: &Path) -> Result<()> {
    let mut project = "<project xmlns=\"http://maven.apache.org/POM/4.0.0\">\
         <modelVersion>4.0.0</modelVersion><groupId>gristmill</groupId>\
         <artifactId>activemq-of-tests</artifactId><version>1</version><dependencies>"
        .to_owned();
    for [group, artifact, version] in jars {
        // The list is complete; what a jar's own project names beyond it is for other uses.
        project += &format!(
            "<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>\
             <version>{version}</version><exclusions><exclusion><groupId>*</groupId>\
             <artifactId>*</artifactId></exclusion></exclusions></dependency>"
        );
    }
    project += "</dependencies></project>";
    let file = folder.join("pom.xml");
    fs::write(&file, project).with_context(|| format!("cannot write {}", file.display()))?;
    let mut command = Command::new(maven);
    command.args(["--quiet", "--batch-mode", "--file"]).arg(&file);
    command.args(["dependency:copy-dependencies", "-DoutputDirectory=."]);
    run(&mut command)
}

fn fetch_by_curl(jars: &[[&str; 3]], folder: &Path) -> Result<()> {
    let mut command = Command::new("curl");
    command.args(["--fail", "--silent", "--show-error", "--location", "--remote-name-all"]);
    for [group, artifact, version] in jars {
        let group = group.replace('.', "/");
        let name = format!("{artifact}-{version}.jar");
        command.arg(format!("{MAVEN_CENTRAL}/{group}/{artifact}/{version}/{name}"));
    }
    run(command.current_dir(folder))
}

/// The folder with our compiled programs, made anew when they or what they run on has changed.
fn compile(java: &Java, jars: &str, has_jakarta_names: bool, parent: &Path) -> Result<PathBuf> {
    let mut hasher = DefaultHasher::new();
    (SOURCES, jars, java.release).hash(&mut hasher);
    let folder = parent.join(format!("classes-{:016x}", hasher.finish()));
    if folder.is_dir() {
        return Ok(folder);
    }
    let partial = tempfile::Builder::new()
        .prefix("compiling-")
        .tempdir_in(parent)
        .with_context(|| format!("cannot create a folder in {}", parent.display()))?;
    let mut command = Command::new(&java.javac);
    command.args(["-proc:none", "-nowarn", "-d", "."]).args(["-encoding", "UTF-8", "-cp", jars]);
    for (name, source) in SOURCES {
        let source = if has_jakarta_names {
            source.replace("import javax.jms.", "import jakarta.jms.")
        } else {
            source.to_owned()
        };
        fs::write(partial.path().join(name), source)
            .with_context(|| format!("cannot write {name} to compile it"))?;
        command.arg(name);
    }
    run(command.current_dir(partial.path()))
        .context("cannot compile the Java programs of tests")?;
    fs::rename(partial.path(), &folder)
        .with_context(|| format!("cannot write {}", folder.display()))?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_releases_is_chosen_by_its_number() {
        let version = |line: &str| {
            chosen(Some(OsStr::new(line))).map(|found| found.map(|release| release.version))
        };
        assert!(chosen(None).unwrap().is_none());
        assert_eq!(version("").unwrap(), None);
        assert_eq!(version("5.17").unwrap(), None);
        assert!(version("5.19").unwrap().unwrap().starts_with("5.19."));
        assert!(version("6").unwrap().unwrap().starts_with("6."));
        assert!(LINES.iter().all(|line| version(line).is_ok()));
        assert!(version("7").unwrap_err().to_string().contains("5.17, 5.19, 6"));
    }

    #[test]
    fn every_jar_of_a_release_has_a_group_a_name_and_a_version() {
        for release in &RELEASES {
            assert_eq!(release.jars().len(), OWN.len() + release.others.len(), "{}", release.line);
        }
    }
}

//! The file that gets the page.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A file that is open before the first round, so that nothing is measured in vain for one that cannot be written.
#[derive(Debug)]
pub struct PageFile {
    path: PathBuf,
    file: File,
    is_new: bool,
}

impl PageFile {
    /// Opens or makes it. What it holds stays until [`PageFile::write`].
    ///
    /// # Errors
    /// What the system says; names the file.
    pub fn open(path: &Path) -> io::Result<Self> {
        let open = || {
            let mut options = File::options();
            options.write(true);
            match options.clone().create_new(true).open(path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    Ok((options.open(path)?, false))
                }
                made => Ok((made?, true)),
            }
        };
        let (file, is_new) = open().map_err(about(path))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            is_new,
        })
    }

    /// Replaces what it holds.
    ///
    /// # Errors
    /// What the system says; names the file.
    pub fn write(mut self, page: &str) -> io::Result<()> {
        let mut write = || {
            if self.file.metadata()?.is_file() {
                self.file.set_len(0)?;
            }
            self.file.write_all(page.as_bytes())
        };
        write().map_err(about(&self.path))
    }

    /// Leaves it as it was.
    ///
    /// # Errors
    /// What the system says; names the file.
    pub fn discard(self) -> io::Result<()> {
        if self.is_new {
            fs::remove_file(&self.path).map_err(about(&self.path))?;
        }
        Ok(())
    }
}

fn about(path: &Path) -> impl FnOnce(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_replaces_what_the_file_held_and_a_discarded_one_leaves_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("page.html");
        PageFile::open(&path).unwrap().discard().unwrap();
        assert!(!path.exists());
        PageFile::open(&path).unwrap().write("a long page").unwrap();
        PageFile::open(&path).unwrap().discard().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "a long page");
        PageFile::open(&path).unwrap().write("page").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "page");
    }

    #[test]
    fn the_error_names_the_file() {
        let error = PageFile::open(Path::new("/nowhere/page.html")).unwrap_err();
        assert!(
            error.to_string().starts_with("/nowhere/page.html: "),
            "{error}"
        );
    }
}

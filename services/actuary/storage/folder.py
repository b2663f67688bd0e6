"""The object store that is a folder: nothing to install, and as safe against a crash as the file system is.

An object is written to a temporary file beside its place, synced, then renamed (or hard-linked, when only
the first may win) and the folder is synced: a reader sees the whole object or none, also after a power cut.
What a killed writer leaves is a file whose name no key can have: listings pass over it, `sweep` removes it.

It deliberately keeps no index and no lock file. It needs a file system with atomic rename and hard links: a
local disk or NFS.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from actuary import errors
from actuary.storage import digests, objects

_TEMPORARY = ".tmp~"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_TAKEN = (errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY)
_ATTEMPTS = 100
"""A delete may remove the empty folder that a put has just made; the put makes it again."""


class FolderStore:
    """An `objects.ObjectStore` under one folder, which is made when first written to.

    Args:
        root: the folder; made absolute.
    """

    def __init__(self, root: Path) -> None:
        self._root = Path(os.path.abspath(root))

    def __repr__(self) -> str:
        return f"FolderStore({str(self._root)!r})"

    @property
    def uri(self) -> str:
        """`file:///absolute/folder`."""
        return self._root.as_uri()

    @property
    def local(self) -> bool:
        """True: objects are files here."""
        return True

    def put(self, key: str, data: bytes, *, if_absent: bool = False) -> bool:
        """Writes an object; False when `if_absent` and it existed already."""
        path = self._path(key)
        with self._mapped(key):
            if if_absent and path.is_file():
                return False
            with self._temporary(path) as (stream, temporary):
                stream.write(data)
                return _commit(stream, temporary, path, if_absent=if_absent)

    def put_file(self, key: str, path: Path, *, if_absent: bool = False) -> bool:
        """Copies a file into the store."""
        target = self._path(key)
        with path.open("rb") as source, self._mapped(key):
            if if_absent and target.is_file():
                return False
            with self._temporary(target) as (stream, temporary):
                shutil.copyfileobj(source, stream, objects.BLOCK_BYTES)
                return _commit(stream, temporary, target, if_absent=if_absent)

    @contextlib.contextmanager
    def create(self, key: str) -> Iterator[BinaryIO]:
        """A stream to write to; the object appears when the block ends without an error."""
        path = self._path(key)
        with contextlib.ExitStack() as stack:
            with self._mapped(key):
                stream, temporary = stack.enter_context(self._temporary(path))
            try:
                yield stream
            except OSError as error:  # the caller's own errors pass; a full disk is ours to explain
                if error.errno in _FULL:
                    raise _translated(error, f"{self.uri}/{key}", self._root) from error
                raise
            with self._mapped(key):
                _commit(stream, temporary, path, if_absent=False)

    def get(self, key: str) -> bytes:
        """Reads an object."""
        with self._mapped(key, reading=True):
            return self._path(key).read_bytes()

    def get_summed(self, key: str, algorithm: str) -> tuple[memoryview, str]:
        """Reads an object and its digest or checksum."""
        data = self.get(key)
        return memoryview(data), digests.of(data, algorithm)

    def open(self, key: str) -> BinaryIO:
        """Opens an object's file for reading."""
        with self._mapped(key, reading=True):
            return self._path(key).open("rb")

    def fetch(self, key: str, path: Path) -> None:
        """Copies an object to a file."""
        with self.open(key) as source, path.open("wb") as target, self._mapped(key):
            shutil.copyfileobj(source, target, objects.BLOCK_BYTES)

    def stat(self, key: str) -> objects.ObjectInfo | None:
        """Size and time of an object; None when there is none."""
        with self._mapped(key):
            try:
                entry = self._path(key).stat()
            except (FileNotFoundError, NotADirectoryError):
                return None
            if not os.path.isfile(self._path(key)):
                return None
            return _info(key, entry)

    def list(self, prefix: str) -> Iterator[objects.ObjectInfo]:
        """All objects whose key begins with `prefix`, sorted; one folder's names are held at a time."""
        objects.check_prefix(prefix)
        base = prefix.rpartition("/")[0]
        for info, name in self._walk(base, prefix):
            if not name.startswith(_TEMPORARY):
                yield info

    def delete(self, key: str) -> None:
        """Removes an object and the folders that it leaves empty."""
        path = self._path(key)
        with self._mapped(key):
            try:
                path.unlink()
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                return
            _sync_folder(path.parent)
            self._prune(path.parent)

    def sweep(self, prefix: str, *, before: datetime, dry_run: bool) -> Sequence[objects.ObjectInfo]:
        """Finds, and unless `dry_run` removes, the temporary files of writers that died before that time."""
        objects.check_prefix(prefix)
        found = []
        for info, name in self._walk(prefix.rpartition("/")[0], prefix, leftovers=True):
            if name.startswith(_TEMPORARY) and info.modified < before:
                found.append(info)
                if not dry_run:
                    folder = self._root.joinpath(*map(_quote, info.key.split("/")[:-1]))
                    with self._mapped(info.key), contextlib.suppress(FileNotFoundError):
                        (folder / name).unlink()
        return found

    def _path(self, key: str) -> Path:
        return self._root.joinpath(*map(_quote, objects.check_key(key).split("/")))

    def _walk(
        self, base: str, prefix: str, *, leftovers: bool = False
    ) -> Iterator[tuple[objects.ObjectInfo, str]]:
        folder = self._root.joinpath(*map(_quote, base.split("/"))) if base else self._root
        with self._mapped(base):
            try:
                with os.scandir(folder) as entries:
                    found = sorted((_unquote(e.name) + "/" * e.is_dir(), e.name, e.is_dir()) for e in entries)
            except (FileNotFoundError, NotADirectoryError):
                return
        for name, raw, is_folder in found:
            key = f"{base}/{name}" if base else name
            if is_folder:
                if key.startswith(prefix) or prefix.startswith(key):
                    yield from self._walk(key[:-1], prefix, leftovers=leftovers)
            elif key.startswith(prefix) or (leftovers and raw.startswith(_TEMPORARY)):
                with contextlib.suppress(FileNotFoundError):  # deleted since the folder was read
                    yield _info(key, os.stat(folder / raw)), raw

    @contextlib.contextmanager
    def _temporary(self, path: Path) -> Iterator[tuple[BinaryIO, Path]]:
        temporary = path.parent / f"{_TEMPORARY}{os.getpid()}-{secrets.token_hex(8)}"
        stream = self._open_new(temporary)
        try:
            yield stream, temporary
            stream.close()
        except BaseException:
            with contextlib.suppress(OSError):  # what is still buffered does not fit either
                stream.close()
            raise
        finally:
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()

    def _open_new(self, temporary: Path) -> BinaryIO:
        for attempt in range(_ATTEMPTS):
            try:
                return temporary.open("xb")
            except FileNotFoundError:
                if attempt == _ATTEMPTS - 1:
                    raise
                _make_folder(temporary.parent)
        raise AssertionError("unreachable")

    def _prune(self, folder: Path) -> None:
        while folder != self._root and folder.is_relative_to(self._root):
            try:
                folder.rmdir()
            except OSError:  # not empty, or gone already
                return
            folder = folder.parent

    @contextlib.contextmanager
    def _mapped(self, key: str, *, reading: bool = False) -> Iterator[None]:
        """The one place where an OSError becomes an error of ours."""
        try:
            yield
        except OSError as error:
            if reading and error.errno in _TAKEN:  # a folder of objects is no object
                error = FileNotFoundError(error.errno, error.strerror)
            raise _translated(error, f"{self.uri}/{key}", self._root) from error


def _translated(error: OSError, uri: str, root: Path) -> errors.ActuaryError:
    detail = error.strerror or str(error)
    if error.errno in _FULL:
        return errors.ExhaustedError(
            f"no room to write {uri}: {detail}. Free space or raise the quota on the file system of {root}, "
            "then go on with `actuary resume` (or repeat `actuary run`): finished work is kept.",
            metadata={"uri": uri},
        )
    if isinstance(error, FileNotFoundError):
        return errors.NotFoundError(f"no object at {uri}", metadata={"uri": uri})
    if error.errno in _TAKEN:
        return errors.AlreadyExistsError(
            f"{uri}: {detail}. A key cannot be both an object and the folder of other objects.",
            metadata={"uri": uri},
        )
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return errors.RefusedError(
            f"may not read or write {uri}: {detail}. Give this user access to {root} or use another store.",
            metadata={"uri": uri},
        )
    return errors.UnavailableError(f"cannot reach {uri}: {detail}", metadata={"uri": uri})


def _commit(stream: BinaryIO, temporary: Path, path: Path, *, if_absent: bool) -> bool:
    stream.flush()
    os.fsync(stream.fileno())
    if if_absent:
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
    else:
        os.replace(temporary, path)
    _sync_folder(path.parent)
    return True


def _make_folder(folder: Path) -> None:
    """Makes a folder and those above it, each durable before the next."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for each in reversed(missing):
        try:
            each.mkdir()
        except FileExistsError:
            if not each.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(each)) from None
            continue
        except FileNotFoundError:  # a delete pruned the folder above meanwhile: the caller tries again
            return
        _sync_folder(each.parent)


def _sync_folder(folder: Path) -> None:
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:  # pruned since: nothing left to make durable
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _info(key: str, entry: os.stat_result) -> objects.ObjectInfo:
    return objects.ObjectInfo(
        key=key, size=entry.st_size, modified=datetime.fromtimestamp(entry.st_mtime, tz=UTC)
    )


def _quote(part: str) -> str:
    quoted = part.replace("%", "%25")
    return f"%2E{quoted[1:]}" if quoted.startswith(_TEMPORARY) else quoted


def _unquote(name: str) -> str:
    plain = f".{name[3:]}" if name.startswith(f"%2E{_TEMPORARY[1:]}") else name
    return plain.replace("%25", "%")

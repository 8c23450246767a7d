"""What a hub answers, in words; and single files from it. The hub here is a server of our own."""

import http.server
import json
import re
import shutil
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from synthaug.errors import UserError
from synthaug.generation import attachments
from synthaug.generation import hub as hub_module
from synthaug.generation.attachments import Attachment
from synthaug.generation.captioners import InstructionCaptioner
from synthaug.generation.components import Component, check_component
from synthaug.generation.diffusion import DiffusionGenerator
from tests.factories.captioners import save_language_model
from tests.factories.pipelines import Pipelines
from tests.generation.test_adapters import save_lora

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """A path of the hub → the status, headers and text that it answers."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.requests: list[str] = []

    def refuse(self, status: int, code: str, *paths: str) -> None:
        """Answer with one of the hub's own codes, to everything or below some paths."""
        for path in paths or ("/",):
            self.answers[path] = (status, {"X-Error-Code": code, "X-Error-Message": "no"}, b"{}")

    def tell(self, name: str, *files: str, gated: str | bool = False) -> None:
        """Say that there is a model, and which files it has."""
        siblings = [{"rfilename": file} for file in files]
        more = {"siblings": siblings, "tags": [], "gated": gated}
        text = json.dumps({"id": name, "modelId": name, "sha": COMMIT, **more})
        self.answers[f"/api/models/{name}"] = (200, {"Content-Type": "application/json"}, text.encode())

    def count_requests(self, name: str) -> int:
        """How many requests were about a model; the hub's library sends others of its own."""
        return sum(name in path for path in self.requests)

    def keep(self, name: str, file: str, content: bytes) -> None:
        headers = {"ETag": f'"{zlib.crc32(content):08x}"', "X-Repo-Commit": COMMIT, "Content-Length": str(len(content))}
        self.answers[f"/{name}/resolve/{COMMIT}/{file}"] = (200, headers, content)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    from huggingface_hub import constants, hf_api

    hub_module._reachability_problem.cache_clear()
    hub_module.cached_index.cache_clear()
    answering = Hub()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, body: bool) -> None:
            path = self.path.partition("?")[0]
            answering.requests.append(path)
            fitting = [prefix for prefix in answering.answers if path.startswith(prefix)]
            status, headers, content = answering.answers[max(fitting, key=len)] if fitting else (404, {}, b"")
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if body:
                self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(hf_api.api, "endpoint", address)
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.chdir(tmp_path)
    yield answering
    server.shutdown()
    thread.join()
    server.server_close()


def refusal(**settings: Any) -> str:
    with pytest.raises(UserError) as caught:
        DiffusionGenerator(**{"model": "someone/a-model", "prompt": "{class_name}", **settings}).load()
    text = str(caught.value)
    assert "  cause: " in text
    assert "  remedy: " in text
    return text


def check(**settings: Any) -> None:
    DiffusionGenerator(**{"model": "someone/a-model", "prompt": "{class_name}", **settings}).check(["cat"])


def test_a_missing_model_is_detected_early_by_one_request(hub: Hub) -> None:
    hub.refuse(404, "RepoNotFound")
    for _ in range(3):
        with pytest.raises(UserError, match=r"someone/a-model(?s:.)*no model of this name"):
            check()
    assert hub.count_requests("someone/a-model") == 1
    hub.refuse(404, "RevisionNotFound")
    with pytest.raises(UserError, match="revision main"):
        check(revision="main")


def test_a_gated_model_is_detected_early(hub: Hub) -> None:
    hub.tell("someone/a-model", "model_index.json", gated="auto")
    hub.refuse(403, "GatedRepo", "/api/models/someone/a-model/auth-check")
    with pytest.raises(UserError, match=r"gated(?s:.)*HF_TOKEN"):
        check()


def test_a_gated_part_of_a_model_is_detected_early(hub: Hub) -> None:
    hub.tell("someone/a-model", "config.json", gated="auto")
    hub.refuse(403, "GatedRepo", "/api/models/someone/a-model/auth-check")
    with pytest.raises(UserError, match=r"The text_encoder_4 someone/a-model could not be loaded(?s:.)*HF_TOKEN"):
        check_component("text_encoder_4", Component("someone/a-model"))


@pytest.mark.parametrize("key", ["ip_adapter", "controlnet"])
def test_what_is_attached_is_looked_for_early(key: str, hub: Hub) -> None:
    attachment = Attachment("someone/an-adapter", file="a.safetensors" if key == "ip_adapter" else None)
    hub.refuse(404, "RepoNotFound", "/api/models/someone/an-adapter")
    with pytest.raises(UserError, match=r"(IP-Adapter|ControlNet) someone/an-adapter could not be loaded"):
        attachments.check(key, attachment, "a model", None)


def test_a_model_that_the_hub_has_may_be_fetched_later(hub: Hub) -> None:
    hub.tell("someone/a-model", "model_index.json")
    check()
    requests = hub.count_requests("someone/a-model")  # of the description and of the index
    check()
    assert hub.count_requests("someone/a-model") == requests


def test_guidance_is_judged_by_the_index_before_the_weights_are_fetched(hub: Hub) -> None:
    name = "Tongyi-MAI/Z-Image-Turbo"
    hub.tell(name, "model_index.json")
    hub.answers[f"/{name}/resolve/main/model_index.json"] = (
        200,
        {"ETag": '"abc"', "X-Repo-Commit": COMMIT},
        b'{"_class_name": "ZImagePipeline"}',
    )
    with pytest.raises(UserError, match=r"guidance_scale=7.5: its authors publish 0 "):
        check(model=name, guidance_scale=7.5)
    check(model=name, guidance_scale=0)
    assert not [path for path in hub.requests if path.endswith(".safetensors")]


@pytest.mark.parametrize("cached", [True, False])
def test_a_hub_that_does_not_answer_is_an_error_unless_the_cache_has_the_model(
    hub: Hub, tmp_path: Path, cached: bool
) -> None:
    hub.refuse(503, "Overloaded")
    if cached:
        folder = tmp_path / "hub" / "models--someone--a-model"
        (folder / "refs").mkdir(parents=True)
        (folder / "refs" / "main").write_text(COMMIT)
        (folder / "snapshots" / COMMIT).mkdir(parents=True)
        (folder / "snapshots" / COMMIT / "model_index.json").write_text("{}")
        check()
    else:
        with pytest.raises(UserError, match=r"cannot be reached \(.*503"):
            check()


def test_a_model_that_the_hub_does_not_have(hub: Hub) -> None:
    hub.refuse(404, "RepoNotFound")
    text = refusal()
    assert "no model of this name" in text
    assert "generator.model=<folder>" in text


def test_a_revision_that_is_gone(hub: Hub) -> None:
    hub.refuse(404, "RevisionNotFound")
    text = refusal(revision="f" * 40)
    assert f"revision {'f' * 40}" in text
    assert "generator.revision=null" in text


@pytest.mark.parametrize("where", ["/api/models/someone/a-model", "/someone/a-model/resolve"])
def test_a_gated_model(where: str, hub: Hub) -> None:
    """The hub tells of a gated model to everybody, and refuses its files."""
    hub.tell("someone/a-model", "model_index.json")
    hub.refuse(403, "GatedRepo", where)
    text = refusal()
    for word in ("gated", "licence", "hf auth login", "HF_TOKEN"):
        assert word in text


def test_a_model_that_is_no_pipeline(hub: Hub) -> None:
    hub.tell("someone/a-model", "config.json", "model.safetensors")
    hub.refuse(404, "EntryNotFound", "/someone/a-model/resolve")
    text = refusal()
    assert "without model_index.json" in text
    assert "generator.file=" in text


def test_a_model_of_pickles(hub: Hub) -> None:
    index = {"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet2DConditionModel"]}
    hub.tell("someone/a-model", "model_index.json", "unet/diffusion_pytorch_model.bin", "unet/config.json")
    hub.keep("someone/a-model", "model_index.json", json.dumps(index).encode())
    text = refusal()
    assert "safetensors" in text
    assert "generator.allow_pickle=true" in text


def test_a_model_without_files_of_the_variant(hub: Hub, pipelines: Pipelines) -> None:
    folder = pipelines("sd")
    files = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    hub.tell("someone/a-model", *files)
    hub.keep("someone/a-model", "model_index.json", (folder / "model_index.json").read_bytes())
    text = refusal(variant="fp16")
    assert "variant fp16" in text
    assert "generator.variant=null" in text


def test_a_lora_of_the_hub(hub: Hub, pipelines: Pipelines, tmp_path: Path) -> None:
    path = save_lora(tmp_path / "style.safetensors", pipelines("sd"))
    hub.tell("someone/a-style", "README.md", "style.safetensors", "other.bin")
    hub.keep("someone/a-style", "style.safetensors", path.read_bytes())
    model = DiffusionGenerator(str(pipelines("sd")), "{class_name}", lora="someone/a-style")
    local = DiffusionGenerator(str(pipelines("sd")), "{class_name}", lora=str(path))
    model.check(["cat"])
    assert hub.requests == []
    assert model.provenance()["weights"] == local.provenance()["weights"]
    assert not any("other.bin" in path for path in hub.requests)
    hub.refuse(403, "GatedRepo")
    text = refusal(model=str(pipelines("sd")), lora="someone/b-style")
    assert re.search(r"LoRA someone/b-style .*\n.*gated", text)


def test_a_lora_that_an_earlier_session_fetched(hub: Hub, pipelines: Pipelines, tmp_path: Path) -> None:
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE) / "models--someone--a-style"
    save_lora(folder / "snapshots" / COMMIT / "style.safetensors", pipelines("sd"))
    (folder / "refs").mkdir()
    (folder / "refs/main").write_text(COMMIT, encoding="utf-8")
    hub.answers["/"] = (503, {}, b"down")
    DiffusionGenerator(str(pipelines("sd")), "{class_name}", lora="someone/a-style").load()
    text = refusal(model=str(pipelines("sd")), lora="someone/b-style")
    assert re.search(r"LoRA someone/b-style .*\n.*cannot be reached \(.*503", text)
    assert "generator.lora=<file>" in text


def test_downloads_that_were_broken_off_are_counted(hub: Hub, pipelines: Pipelines) -> None:
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE) / "models--someone--a-model"
    shutil.copytree(pipelines("sd"), folder / "snapshots" / COMMIT)
    (folder / "refs").mkdir()
    (folder / "refs/main").write_text(COMMIT, encoding="utf-8")
    (folder / "blobs").mkdir()
    hub.answers["/"] = (503, {}, b"down")
    DiffusionGenerator("someone/a-model", "{class_name}").load()
    (folder / "blobs/abc.incomplete").write_bytes(b"half")
    unet = folder / "snapshots" / COMMIT / "unet/diffusion_pytorch_model.safetensors"
    unet.write_bytes(unet.read_bytes()[:-1])
    text = refusal()
    assert "unet/diffusion_pytorch_model.safetensors is cut short" in text
    assert "(1 of its files downloaded in part: *.incomplete)" in text


def test_a_captioner_of_the_hub(hub: Hub, tmp_path: Path) -> None:
    name, folder = "someone/an-author", save_language_model(tmp_path / "author")
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    hub.tell(name, *files, "pytorch_model.bin")
    listed = [{"type": "file", "path": file, "size": len(text), "oid": "abc"} for file, text in files.items()]
    listed += [{"type": "file", "path": "pytorch_model.bin", "size": 1, "oid": "abc"}]
    hub.answers[f"/api/models/{name}/tree/{COMMIT}"] = (200, {}, json.dumps(listed).encode())
    for file, content in files.items():
        hub.keep(name, file, content)
    captioner = InstructionCaptioner(name, "{count} of {class_name}", device="cpu")
    captioner.check()
    provenance = captioner.provenance()
    assert (provenance["model"], provenance["revision"]) == (name, COMMIT)
    fetched = {path.rpartition("/")[2] for path in hub.requests if "/resolve/" in path}
    assert "model.safetensors" in fetched
    assert "pytorch_model.bin" not in fetched
    hub.answers.clear()
    hub.answers["/"] = (503, {}, b"")
    again = InstructionCaptioner(name, "{count} of {class_name}", device="cpu")
    again.check()
    assert again.provenance() == provenance, "from the cache, where the hub does not answer"


def test_a_captioner_that_the_hub_refuses(hub: Hub) -> None:
    captioner = InstructionCaptioner("someone/an-author", "{count} of {class_name}")
    for status, code, words in ((404, "RepoNotFound", "captioner.model="), (403, "GatedRepo", "HF_TOKEN")):
        hub_module._reachability_problem.cache_clear()
        hub.refuse(status, code)
        for use in (captioner.check, captioner.provenance):
            with pytest.raises(UserError) as caught:
                use()
            assert str(caught.value).startswith("The captioner someone/an-author could not be loaded.")
            assert words in str(caught.value)

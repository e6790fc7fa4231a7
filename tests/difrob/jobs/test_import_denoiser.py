"""Models from elsewhere become runs: bit for bit the same function, checked, refused where they do not fit, and used."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DDPMPipeline, DDPMScheduler, UNet2DModel
from safetensors.torch import load_file, save_file
from support.built_in_data import load_split
from support.edm_pickles import bare_state, snapshot
from support.improved_diffusion_network import HEADS, written_out
from support.memory_recorder import MemoryRecorder

from difrob.data.toy_names import TOYS
from difrob.diffusion.ddpm import DDPMDenoiser
from difrob.diffusion.edm import EDMDenoiser
from difrob.diffusion.features import block_names
from difrob.diffusion.loading import load_denoiser
from difrob.errors import Stopped, UserError
from difrob.jobs import generate, import_denoiser
from difrob.nets.song_unet import SongUNet, SongUNetOptions
from difrob.runs import RunState, Workspace
from difrob.runs.datasets import DataSetRecord
from difrob.specs import DataSpec, GenerateSpec, ImportDenoiserSpec, TrainClassifierSpec, parse_spec
from difrob.worker.execution import execute

CPU = torch.device("cpu")
QUICK: dict[str, Any] = {"preview_images": 4, "preview_steps": 2, "checked_images": 8}


def song(classes: int = 10, **changes: Any) -> SongUNet:
    torch.manual_seed(0)
    values: dict[str, Any] = {"image_size": 8, "image_channels": 1, "base_channels": 8, "channels": (8, 16), "blocks": 1,
                              "attention_edges": (4,), "condition_width": 16, "noise_width": 8, "augmentations": 9}  # fmt: skip
    return SongUNet(SongUNetOptions(classes=classes, **{**values, **changes})).eval()


def unet(classes: int | None = None, **changes: Any) -> UNet2DModel:
    torch.manual_seed(0)
    settings: dict[str, Any] = {
        "sample_size": 8, "in_channels": 1, "out_channels": 1, "block_out_channels": (8, 16), "layers_per_block": 1,
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D"), "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
        "norm_num_groups": 4, "num_class_embeds": classes,
    }  # fmt: skip
    return UNet2DModel(**{**settings, **changes}).eval()


def spec_of(path: Path, **changes: Any) -> ImportDenoiserSpec:
    values = {"kind": "import_denoiser", "path": str(path), "data": {"dataset": "digits"}, **QUICK, **changes}
    spec = parse_spec(values)
    assert isinstance(spec, ImportDenoiserSpec)
    return spec


def imported(path: Path, recorder: MemoryRecorder | None = None, **changes: Any) -> MemoryRecorder:
    recorder = recorder or MemoryRecorder()
    import_denoiser.run(spec_of(path, **changes), recorder, CPU)
    return recorder


def denoiser_of(recorder: MemoryRecorder, path: Path, **changes: Any) -> Any:
    return load_denoiser(recorder.as_input_run(spec_of(path, **changes)), CPU)


@pytest.mark.parametrize(
    ("scheduler", "alphas"),
    [
        (DDPMScheduler(num_train_timesteps=50), None),
        (
            DDIMScheduler(num_train_timesteps=1000, beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012),
            None,
        ),
        (DDPMScheduler(beta_schedule="squaredcos_cap_v2"), None),
        (DDPMScheduler(trained_betas=[0.1, 0.2, 0.5]), [0.9, 0.72, 0.36]),
    ],
)
def test_a_pipeline_of_diffusers_predicts_the_same_noise(
    tmp_path: Path, scheduler: Any, alphas: list[float] | None
) -> None:
    original, path = unet(), tmp_path / "pipeline"
    DDPMPipeline(unet=original, scheduler=scheduler).save_pretrained(path)
    recorder = imported(path)
    denoiser, how = denoiser_of(recorder, path)
    assert isinstance(denoiser, DDPMDenoiser)
    assert (how.class_conditional, how.label_dropout, how.data.dataset) == (False, 0.0, "digits")
    alpha_bar = alphas or scheduler.alphas_cumprod.double().numpy()
    # The betas of diffusers are 32 bits wide, and so is their product.
    assert np.allclose(np.exp(denoiser.schedule.log_alpha_bar), alpha_bar, rtol=1e-3, atol=1e-7)
    x, steps = torch.randn(3, 1, 8, 8), torch.tensor([0.0, 1.0, 2.0])
    with torch.no_grad():
        wanted = original(x, steps, return_dict=False)[0]
        assert torch.equal(denoiser.network(x, steps, torch.zeros(3, dtype=torch.int64)), wanted)
        sigma = torch.from_numpy(denoiser.schedule.sigmas[:3])
        v = x * (1 + sigma.float().reshape(-1, 1, 1, 1) ** 2).sqrt()
        assert torch.allclose(denoiser.predict_noise(v, sigma), wanted, rtol=1e-3, atol=1e-3)
    folder = path / "unet"
    files = [
        folder / "config.json",
        folder / "diffusion_pytorch_model.safetensors",
        path / "scheduler/scheduler_config.json",
    ]
    assert recorder.attributes["files"] == {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    assert recorder.attributes["parameters"] == original.num_parameters() == recorder.results["parameters"].value
    assert recorder.attributes["sigma_range"] == [denoiser.schedule.sigma_min, denoiser.schedule.sigma_max]


def test_a_model_folder_without_a_schedule_takes_that_of_the_specification(tmp_path: Path) -> None:
    path = tmp_path / "unet"
    unet(classes=11).save_pretrained(path)
    recorder = imported(path, schedule="cosine", time_steps=30, label_dropout=0.1)
    assert any("the cosine one of 30 steps was assumed" in text for _, text in recorder.notes)
    denoiser, how = denoiser_of(recorder, path, label_dropout=0.1)
    assert (len(denoiser.schedule), denoiser.num_classes, denoiser.has_null_class) == (30, 10, True)
    assert how.class_conditional and how.label_dropout == 0.1
    assert recorder.attributes["knows_null_class"] and recorder.attributes["num_classes"] == 10
    assert recorder.attributes["blocks"] == block_names(denoiser) and "middle" in recorder.attributes["blocks"]


@pytest.mark.parametrize("form", ["pkl", "pt", "safetensors", "part"])
def test_a_network_of_edm_comes_in_every_form(tmp_path: Path, form: str) -> None:
    original = song()
    path = tmp_path / f"model.{form if form != 'part' else 'pt'}"
    if form == "pkl":
        path.write_bytes(snapshot(original, label_dropout=0.2, sigma_data=0.25))
    elif form == "safetensors":
        save_file(bare_state(original), path)
    else:
        torch.save(bare_state(original) if form == "pt" else {"step": 3, "ema": original.state_dict()}, path)
    choice = {"label_dropout": 0.2, "sigma_data": 0.25}
    recorder = imported(path, **choice)
    path.unlink()  # the run needs it no longer
    denoiser, how = denoiser_of(recorder, path, **choice)
    assert isinstance(denoiser, EDMDenoiser) and denoiser.sigma_data == 0.25
    assert (how.class_conditional, how.label_dropout, denoiser.has_null_class) == (True, 0.2, True)
    v, sigma, labels = torch.randn(2, 1, 8, 8), torch.tensor([0.1, 3.0]), torch.tensor([3, 10])
    with torch.no_grad():
        assert torch.equal(denoiser.denoise(v, sigma, labels), EDMDenoiser(original, 0.25).denoise(v, sigma, labels))
    assert recorder.attributes["format"] == "edm" and recorder.attributes["sigma_range"] is None
    assert any("taken from 'ema'" in text for _, text in recorder.notes) == (form == "part")
    assert not denoiser.training and not any(weight.requires_grad for weight in denoiser.parameters())


@pytest.mark.parametrize("variance", [True, False])
def test_a_file_of_improved_diffusion_is_read_with_the_edge_of_the_data(tmp_path: Path, variance: bool) -> None:
    original, path = written_out(classes=11, variance=variance, channels=1), tmp_path / "ema_0.9999_500000.pt"
    torch.save(original.state_dict(), path)
    choice = {"heads": HEADS, "schedule": "cosine", "time_steps": 4000, "label_dropout": 0.1}
    recorder = imported(path, **choice)
    denoiser, _ = denoiser_of(recorder, path, **choice)
    assert (denoiser.image_shape, denoiser.num_classes, denoiser.has_null_class) == ((1, 8, 8), 10, True)
    assert recorder.attributes["format"] == "improved_diffusion" and len(denoiser.schedule) == 4000
    steps, labels = torch.tensor([5, 2000, 3999]), torch.tensor([3, 9, 10])
    sigma = torch.from_numpy(denoiser.schedule.sigmas)[steps]
    v = torch.randn(3, 1, 8, 8)
    with torch.no_grad():
        # It was told steps of a schedule of 1,000, and of its outputs the first half is the noise.
        x = (v / (1 + sigma.reshape(-1, 1, 1, 1) ** 2).sqrt()).float()
        wanted = original(x, steps / 4, labels)[:, :1]
        found = denoiser.predict_noise(v, sigma, labels)
    assert found.shape == v.shape and torch.allclose(found, wanted, rtol=1e-3, atol=1e-4) and wanted.std() > 0.05
    by_width = imported(path, **{**choice, "heads": 1, "head_width": 32})
    assert by_width.last_checkpoint.weights == recorder.last_checkpoint.weights, (
        "64 channels in heads of 32 are two heads"
    )
    refused(path, "is not made of 3 heads", **{**choice, "heads": 3})
    refused(path, "knows 11 classes", **{**choice, "label_dropout": 0.0})


def test_weights_that_are_no_finite_numbers_are_refused(tmp_path: Path) -> None:
    path, tensors = tmp_path / "model.pt", bare_state(song())
    name = "model.enc.8x8_block0.conv1.weight"
    whole = tensors[name].clone()
    for value, message in (
        (torch.full_like(whole, torch.nan), "'network.enc.8x8_block0.conv1.weight' holds numbers that are not finite"),
        (whole.to(torch.complex64), "wants 'torch.ComplexFloatStorage'"),
        (whole.round().long(), "block0.conv1.weight' holds numbers of type int64 instead of float32"),
    ):
        torch.save({**tensors, name: value}, path)
        refused(path, message)
    folder = tmp_path / "unet"
    unet().save_pretrained(folder)
    weights = load_file(folder / "diffusion_pytorch_model.safetensors")
    weights["conv_in.weight"] = weights["conv_in.weight"].round().long()
    save_file(weights, folder / "diffusion_pytorch_model.safetensors")
    refused(folder, "'conv_in.weight' holds numbers of type int64")
    torch.save({**tensors, name: whole.half()}, path)
    assert all(weight.dtype == torch.float32 for weight in denoiser_of(imported(path), path)[0].parameters())


def test_the_check_draws_and_measures(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(snapshot(song()))
    recorder = imported(path)
    (sheet,) = recorder.pictures["generated"]
    assert sheet.images.shape == (4, 8, 8, 1) and sheet.captions == ["0", "1", "2", "3"]
    (curve,), (without,) = recorder.curves["denoising_error"], recorder.curves["denoising_error_without_network"]
    assert curve.x.tolist() == list(import_denoiser.CHECKED_SIGMAS) and curve.interval == "Student t 95 %"
    for sigma, error in zip(curve.x, curve.y, strict=True):
        measure = recorder.results[f"denoising_error_at_{sigma:g}"]
        assert measure.value == error and measure.n == 8
    assert np.all(np.diff(without.y) > 0) and np.all(without.y < np.minimum(curve.x**2, without.y[-1] + 1e-9) + 1e-9)
    # A network with random weights denoises worse than none at small noise, and that is told.
    assert any(level == "warning" and "no better than no network" in text for level, text in recorder.notes)
    assert recorder.progressed[-1] == (12, 12, "images")
    quiet = imported(path, preview_images=0, checked_images=0)
    assert not quiet.pictures and not quiet.curves and quiet.checkpoints and quiet.progressed[-1] == (0, 0, "images")


def test_a_network_that_knows_nothing_errs_by_the_noise(tmp_path: Path) -> None:
    """Weights of zero predict F = 0: D = c_skip v, whose error is known."""
    network = song(classes=0)
    with torch.no_grad():
        for weight in network.parameters():
            weight.zero_()
    path = tmp_path / "model.safetensors"
    save_file(bare_state(network), path)
    recorder = imported(path, checked_images=150)
    u = 2 * torch.from_numpy(load_split(DataSpec(), "validation").images[:150].copy()).double() / 255 - 1
    for sigma in (0.2, 2.0):
        skip = 0.25 / (0.25 + sigma**2)
        wanted = float((1 - skip) ** 2 * u.square().mean() + skip**2 * sigma**2)
        assert recorder.results[f"denoising_error_at_{sigma:g}"].value == pytest.approx(wanted, rel=0.03)


def test_a_schedule_of_little_noise_is_checked_at_its_end(tmp_path: Path) -> None:
    path = tmp_path / "pipeline"
    DDPMPipeline(unet=unet(), scheduler=DDPMScheduler(trained_betas=[1e-4, 1e-4])).save_pretrained(path)
    recorder = imported(path)
    (curve,) = recorder.curves["denoising_error"]
    assert curve.x.tolist() == [recorder.attributes["sigma_range"][1]] and curve.x[0] < 0.05


class WithoutFloat64(torch.Tensor):
    """A tensor on a device like Metal, which has no float64."""

    def double(self, *args: Any, **named: Any) -> torch.Tensor:
        raise TypeError("float64 is not known here")

    def cpu(self, *args: Any, **named: Any) -> torch.Tensor:
        return self.as_subclass(torch.Tensor)


class Unchanging:
    """A denoiser on such a device that gives back what it gets."""

    num_classes = 0

    def denoise(self, v: torch.Tensor, sigma: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        return v.as_subclass(WithoutFloat64)


def test_errors_are_added_up_where_float64_is_known() -> None:
    images = load_split(DataSpec(), "validation")
    found = import_denoiser.denoising_errors(MemoryRecorder(), cast(Any, Unchanging()), images, slice(0, 40), 0.5, CPU)
    assert found.dtype == np.float64 and found.shape == (40,)
    assert found.mean() == pytest.approx(0.25, rel=0.05)


@pytest.mark.parametrize("stop", [0, 1, 3, 6])
def test_a_stopped_import_goes_on_without_the_file(tmp_path: Path, stop: int) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(snapshot(song()))
    whole = imported(path)
    stopped = MemoryRecorder(stop_at_check=stop)
    with pytest.raises(Stopped):
        imported(path, stopped)
    if stopped.checkpoints:
        path.unlink()
    resumed = imported(path, stopped.resume())
    assert np.array_equal(resumed.pictures["generated"][0].images, whole.pictures["generated"][0].images)
    assert resumed.results["denoising_error_at_0.5"] == whole.results["denoising_error_at_0.5"]
    assert (resumed.checkpoints or stopped.checkpoints)[-1].weights == whole.last_checkpoint.weights


def refused(path: Path, message: str, recorder: MemoryRecorder | None = None, **changes: Any) -> None:
    recorder = recorder or MemoryRecorder()
    with pytest.raises(UserError, match=message):
        imported(path, recorder, **changes)
    assert not recorder.checkpoints and not recorder.results and not recorder.progressed


def test_models_that_do_not_fit_the_data_are_refused(tmp_path: Path) -> None:
    for name, network, message in (
        ("wide", song(image_size=16), r"is for images of 1 x 16 x 16, the data set 'digits' has 1 x 8 x 8"),
        ("red", song(image_channels=3), "is for images of 3 x 8 x 8"),
        ("few", song(classes=9), "knows 9 classes, the data set 'digits' has 10"),
        ("more", song(classes=11), "unless the last one is the null class"),
    ):
        path = tmp_path / f"{name}.pt"
        torch.save(bare_state(network), path)
        refused(path, message)
    refused(path, "knows 11 classes", label_dropout=0.1)
    refused(path, "there is no data set 'mars'", data={"dataset": "mars"})
    refused(path, "holds points", data={"dataset": next(iter(TOYS))})
    wide = DataSetRecord("wide", "wide", "x", (1, 8, 16), [str(n) for n in range(10)], {}, flips=False, digest="x")
    torch.save(bare_state(song()), path)
    refused(
        path, "the data set 'wide' has 1 x 8 x 16", MemoryRecorder(data_sets={"wide": wide}), data={"dataset": "wide"}
    )


def test_files_of_other_kinds_are_refused(tmp_path: Path) -> None:
    refused(tmp_path / "gone.pt", "there is no file or folder")
    refused(tmp_path, "config.json")
    path = tmp_path / "model.pt"
    torch.save({"weight": torch.zeros(3)}, path)
    refused(path, "holds no diffusion model that is known: .* among its 1 tensors")
    torch.save({"conv_in.weight": torch.zeros(3)}, path)
    refused(path, "holds weights of diffusers, .* give the folder")
    torch.save({"step": 3, "ema": {"a": 1}}, path)
    refused(path, "holds no state dictionary, neither as a whole nor as one of ema")
    torch.save(bare_state(song()), path)
    refused(path, "is a network of EDM, not a folder of diffusers; choose format = 'edm'", format="diffusers")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    refused(path, "model.pt")
    path = tmp_path / "model.pkl"
    for changes, message in (
        ({"outer": "VPPrecond"}, "inside 'VPPrecond'; only networks inside 'EDMPrecond'"),
        ({"inner": "DhariwalUNet"}, "a network 'DhariwalUNet'; only 'SongUNet'"),
        ({"label_dropout": 0.3}, "trained with label_dropout = 0.3, not with 0"),
        ({"sigma_data": -1.0}, "sigma_data is -1"),
        ({"sigma_data": 10**400}, "sigma_data is inf; it must be finite"),
    ):
        path.write_bytes(snapshot(song(), **changes))  # type: ignore[arg-type]
        refused(path, message)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prediction_type": "v_prediction"}, "predicts 'v_prediction'; only networks that predict the noise"),
        ({"beta_schedule": "sigmoid"}, "beta_schedule = 'sigmoid' is none of linear, scaled_linear, squaredcos_cap_v2"),
        ({"rescale_betas_zero_snr": True}, "ends in pure noise"),
        ({"_class_name": "KarrasVeScheduler"}, "describes KarrasVeScheduler; one of these is needed: DDPMScheduler"),
        ({"num_train_timesteps": 10**9}, "num_train_timesteps = 1000000000"),
        ({"beta_end": 1.5}, "strictly between 0 and 1"),
        ({"beta_start": "x"}, "states no noise schedule"),
        ({"trained_betas": [1e-4] * 100_001}, "100001 trained_betas; at most 100000 steps"),
    ],
)
def test_schedules_that_cannot_be_met_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = tmp_path / "pipeline"
    DDPMPipeline(unet=unet(), scheduler=DDPMScheduler()).save_pretrained(path)
    file = path / "scheduler" / "scheduler_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))
    refused(path, message)


def test_a_run_that_describes_no_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(snapshot(song()))
    recorder = imported(path)
    state = recorder.last_checkpoint.state
    for spoil in (
        {"network": {"kind": "other"}}, {"network": None}, {"parameterisation": {"kind": "edm", "sigma_data": -1}},
        {"parameterisation": {"kind": "ddpm", "schedule": "x", "betas": [2, 3]}},
    ):  # fmt: skip
        state_now = {**state, **spoil}
        recorder.checkpoints[-1].state.clear()
        recorder.checkpoints[-1].state.update(state_now)
        with pytest.raises(UserError, match="does not describe its diffusion model"):
            denoiser_of(recorder, path)


def test_a_denoiser_without_null_class_is_not_guided(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(snapshot(song()))
    run = imported(path).as_input_run(spec_of(path), "theirs")
    spec = GenerateSpec(denoiser="theirs", images=10, sampling_steps=2, guidance_scale=2.0)
    with pytest.raises(UserError, match="label_dropout = 0 and cannot work without a class"):
        generate.run(spec, MemoryRecorder(runs={"theirs": run}), CPU)


def test_an_imported_model_generates_certifies_and_is_measured_in_a_workspace(tmp_path: Path) -> None:
    workspace, folder = Workspace(tmp_path / "workspace"), tmp_path / "theirs"
    DDPMPipeline(unet=unet(classes=11), scheduler=DDPMScheduler(num_train_timesteps=40)).save_pretrained(folder)
    before = torch.get_num_threads()
    try:
        done = execute(workspace, "model", spec_of(folder, label_dropout=0.1), device="cpu")
        assert (done.state, done.reason) == (RunState.FINISHED, "")
        shutil.rmtree(folder)
        classifier = TrainClassifierSpec(
            data=DataSpec(train_size=40), network={"channels": (8, 16), "features": 8}, objective="gaussian", steps=2,  # type: ignore[arg-type]
            batch_size=8,
        )  # fmt: skip
        later: list[tuple[str, dict[str, Any]]] = [
            ("classifier", classifier.model_dump(mode="json")),
            ("set", {"kind": "generate", "denoiser": "model", "images": 20, "sampling_steps": 2, "batch_size": 20,
                     "guidance_scale": 1.5}),
            ("radii", {"kind": "certify", "classifier": "classifier", "denoiser": "model", "n0": 4, "n": 40, "images": 2,
                       "sigma": 0.25}),
            ("measured", {"kind": "measure", "generated": "set", "measures": ["memorisation"]}),
            ("probes", {"kind": "probe_teacher", "denoiser": "model", "blocks": ["middle"], "sigmas": [0.3],
                        "train_images": 20, "images": 10}),
            ("aligned", {**classifier.model_dump(mode="json"), "objective": "trades",
                         "alignment": {"teacher": "denoiser", "denoiser": "model"}}),
        ]  # fmt: skip
        for run_id, values in later:
            done = execute(workspace, run_id, parse_spec(values), device="cpu")
            assert (done.state, done.reason) == (RunState.FINISHED, ""), run_id
    finally:
        torch.set_num_threads(before)
    assert workspace.reader("set").array("samples/images").shape == (20, 8, 8, 1)
    assert "average_certified_radius" in workspace.reader("radii").summary().results

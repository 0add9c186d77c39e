"""The `recon4d` command: its sub-commands, and the one place where an error becomes a line and an exit code.

Sub-commands are imported when they are called, so that `recon4d --help` answers without loading decoders or kernels.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro

import recon4d
from recon4d.core import InputError, Recon4dError

EXIT_ERROR = 2
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141

# What the user can mend about a disk; any other failure of the system is a bug.
_DISK_ERRORS = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR, errno.EEXIST}


def backends() -> None:
    """Show which rasterizer backends work here, and why the others do not."""
    from recon4d.cli.backends import show_backends

    show_backends()


def info(scene: Annotated[Path, tyro.conf.Positional], base: bool = False) -> None:
    """Describe a scene with its edits: its times, cameras and layers.

    Args:
        scene: the scene folder, NAME.r4d.
        base: the scene without its edits.
    """
    from recon4d.cli.info import show_scene

    show_scene(scene, base=base)


def demo(
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("out/demo"),
    creature: str = "quadruped",
    size: int = 256,
    frames: int = 48,
) -> None:
    """Film a generated moving creature, reconstruct it from the video alone, and draw the result from all around.

    Args:
        output: folder for the clip, the scene with its report, and the turntable; made where it does not exist.
        creature: which built-in creature: quadruped, biped, fish or jelly.
        size: width and height of the clip in pixels.
        frames: of the clip.
    """
    from recon4d.cli.demo import make_demo

    make_demo(output, creature=creature, size=size, frames=frames)


def reconstruct(
    source: Annotated[Path, tyro.conf.Positional],
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])],
    cameras: Literal["auto", "file", "static", "scene", "object"] = "auto",
    masks: str = "auto",
    depth: str = "none",
    preset: Literal["draft", "standard", "high"] = "standard",
    device: Literal["auto", "cpu", "cuda"] = "auto",
    keep_out: str = "auto",
    train_every: int | None = None,
    max_frames: int | None = None,
    max_side: int | None = None,
    focal: float | None = None,
    background: Literal["auto", "none", "static", "camera"] = "auto",
    blend: Literal["linear", "dual-quaternion"] = "linear",
    residual: int = 0,
    seed: int = 0,
    resume: bool = False,
    overwrite: bool = False,
    keep_work: bool = False,
    quiet: bool = False,
    json: bool = False,
    view: bool = False,
) -> None:
    """Reconstruct a moving scene from a video, a folder of images, or a data set with cameras.

    A run that was stopped, in whatever way, goes on with --resume and gives the same scene.

    Args:
        source: the video, the folder of images, or the folder of a data set.
        output: the scene folder, NAME.r4d, with report.html and metrics.json in it; appears when all is done.
        cameras: auto; file (the data set's); static (one pose); scene (solved from the background); object (solved from
            the subject, as when it turns before the camera).
        masks: auto; none (the whole picture is one scene); the path of masks, white = subject, as a folder or video
            (several labels, or one folder for each, are several objects); or sam2:FOLDER, weights of a learned model.
        depth: none; file (the data set's own depth maps); a folder of depth maps (camera z, 0 = unknown); or
            depth-anything:FOLDER, dpt:FOLDER, zoedepth:FOLDER, weights of a learned model.
        preset: draft (a first look), standard, or high (slow).
        device: where the fit runs.
        keep_out: every so many frames one is kept out of the fit to measure by: a number, none, or auto (10 for 20
            frames or more).
        train_every: fit only every so many frames and measure on all others; 4 is the protocol of Vidu4D.
        max_frames: thin longer clips out, evenly in motion; by the preset by default.
        max_side: make larger frames smaller, pixels of the long side; by the preset by default.
        focal: focal length as a multiple of the long side; from EXIF data, or solved for, by default.
        background: what is outside the masks: auto; none (left out); static (stands still in the world); camera (stands
            still before the camera while the subject turns).
        blend: how the motions of bones are blended.
        residual: nodes of a grid of displacements that take what bones cannot, along the subject's longest side; 0 is
            none, 24 a good choice. It helps cloth and hair, and cannot be exported as bones.
        seed: of everything random; the same seed gives the same scene on the same machine.
        resume: go on with an unfinished run.
        overwrite: replace a scene of that name, or drop its unfinished run.
        keep_work: leave the hidden work folder, so that a later run with other settings is quicker.
        quiet: print nothing but errors.
        json: one JSON object a line on standard output.
        view: watch the scene grow in a web browser; the link is printed on standard error.
    """
    from recon4d.cli.reconstruct import make_scene, parse_keep_out
    from recon4d.pipeline import ReconstructSettings

    settings = ReconstructSettings(
        cameras=cameras,
        masks=masks,
        depth=depth,
        preset=preset,
        device=device,
        keep_out=parse_keep_out(keep_out),
        train_every=train_every,
        max_frames=max_frames,
        max_side=max_side,
        focal=focal,
        background=background,
        blend=blend,
        residual=residual,
        seed=seed,
    )
    make_scene(
        source,
        output,
        settings,
        resume=resume,
        overwrite=overwrite,
        keep_work=keep_work,
        quiet=quiet,
        as_json=json,
        view=view,
    )


def synthesize(
    subject: Annotated[str, tyro.conf.Positional],
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])],
    action: str | None = None,
    hide: tyro.conf.UseAppendAction[tuple[str, ...]] = (),
    cameras: Literal["orbit", "handheld", "static", "teleport", "rig"] = "orbit",
    background: Literal["none", "room"] = "none",
    frames: int = 100,
    val_frames: int = 10,
    test_frames: int = 20,
    width: int = 400,
    height: int = 400,
    fov_degrees: float = 40.0,
    fps: float = 30.0,
    plays: float = 1.0,
    orbit_turns: float = 1.0,
    elevation_degrees: float = 15.0,
    rig_cameras: int = 6,
    mottle: bool = True,
    detail: float = 1.0,
    zoom: float = 1.0,
    seed: int = 0,
    threads: int = 0,
    overwrite: bool = False,
    quiet: bool = False,
) -> None:
    """Make a data set with known truth: a moving subject, filmed by known cameras.

    Args:
        subject: quadruped, biped, fish, jelly, or the path of a skinned, animated .glb file.
        output: folder for the data set; new or empty, unless --overwrite.
        action: clip of a .glb; its first by default.
        hide: node of a .glb not to show, with its children; * and ? stand for letters. May be given several times.
        cameras: how the subject is filmed: orbit, handheld (like a person), static, teleport (another view every time,
            as D-NeRF), or rig (several cameras at once).
        background: none (images with alpha) or room (a textured static yard).
        frames: moments of the training video.
        val_frames: images for validation, each from a camera of its own.
        test_frames: images for testing, each from a camera of its own.
        width: of the images, in pixels.
        height: of the images, in pixels.
        fov_degrees: full vertical field of view.
        fps: frames a second of the video.
        plays: how often the clip is played over all frames.
        orbit_turns: how often an orbit goes around.
        elevation_degrees: usual height of the cameras above the horizon.
        rig_cameras: how many cameras a rig has.
        mottle: give untextured surfaces of a .glb a texture of noise, so that they can be tracked.
        detail: fineness of a creature's mesh, 0.2 to 4.
        zoom: more than 1 makes the subject larger in the image.
        seed: of the cameras and the room; the same seed gives the same files.
        threads: views rendered at once; 0 means one for each core.
        overwrite: replace a data set that is in the folder.
        quiet: print nothing but errors.
    """
    from recon4d.cli.synthesize import make_dataset
    from recon4d.synthetic import SynthesizeConfig

    config = SynthesizeConfig(
        subject=subject,
        camera=cameras,
        background=background,
        frames=frames,
        val_frames=val_frames,
        test_frames=test_frames,
        width=width,
        height=height,
        fov_degrees=fov_degrees,
        fps=fps,
        plays=plays,
        seed=seed,
        orbit_turns=orbit_turns,
        elevation_degrees=elevation_degrees,
        rig_cameras=rig_cameras,
        action=action,
        hide=hide,
        mottle=mottle,
        detail=detail,
        zoom=zoom,
        overwrite=overwrite,
        threads=threads,
    )
    make_dataset(config, output, quiet=quiet)


def evaluate(
    scene: Annotated[Path | None, tyro.conf.Positional] = None,
    *,
    against: Path,
    images: Path | None = None,
    masks: Path | None = None,
    protocol: Literal["all", "dnerf", "every4", "masked", "geometry", "tracks"] | None = None,
    json: Path | None = None,
    html: Path | None = None,
    background: Literal["auto", "white", "black"] = "auto",
    max_side: int | None = None,
    align: Literal["auto", "moment", "never"] = "auto",
    meshes: Path | None = None,
    geometry_frames: int = 16,
    samples: int = 20_000,
    emd_samples: int = 8192,
    track_points: int = 2000,
    any_orientation: bool = False,
    pixels_per_degree: float = 67.02064327658225,
    lpips: Path | None = None,
    worst: int = 6,
    seed: int = 0,
    backend: Literal["auto", "reference", "cpu", "cuda"] = "auto",
    quiet: bool = False,
) -> None:
    """Score a scene against a data set, or a folder of images against another.

    Args:
        scene: the scene folder, NAME.r4d; leave it out with --images.
        against: the truth: a data set's folder or a video; with --images, a folder of images.
        images: a folder of images made by any tool, scored instead of a scene.
        masks: folder of masks (white = subject) for --images, named like the truth's images.
        protocol: what to measure; "all" by default. dnerf: the test images; every4: the frames of one video between
            every 4th; masked: inside the subject's masks; geometry; tracks.
        json: file for all scores.
        html: file for a page with curves and the worst frames.
        background: colour behind transparent images; auto is the data set's own.
        max_side: scale images down so that no side is longer, in pixels.
        align: auto aligns a scene to the truth once, on the cameras, where its own differ; moment places it anew at
            every moment, by the camera that filmed it, for clips that do not tell how the subject moves in the world.
        meshes: folder with the scene's exported meshes, one .ply for each true mesh, scored instead of its surfels.
        geometry_frames: at most so many times are scored for geometry, tracks and persistence.
        samples: points on each surface.
        emd_samples: points for the earth mover's distance.
        track_points: points that are followed.
        any_orientation: for CD-3D, CD-4D and CD-M, also align from all axis permutations.
        pixels_per_degree: of the image on the eye, for FLIP; its authors' by default.
        lpips: file of LPIPS weights; without it (and RECON4D_LPIPS_WEIGHTS) LPIPS is left out.
        worst: how many of the worst frames the page shows.
        seed: of all sampling.
        backend: rasterizer.
        quiet: print nothing but errors.
    """
    from recon4d.cli.evaluate import score
    from recon4d.evaluate import Settings

    settings = Settings(
        background=background,
        max_side=max_side,
        align=align,
        meshes=meshes,
        geometry_frames=geometry_frames,
        samples=samples,
        emd_samples=emd_samples,
        track_points=track_points,
        any_orientation=any_orientation,
        lpips=lpips,
        worst=worst,
        seed=seed,
        backend=backend,
        pixels_per_degree=pixels_per_degree,
    )
    score(
        scene,
        against,
        images=images,
        masks=masks,
        protocol=protocol,
        settings=settings,
        json=json,
        html=html,
        quiet=quiet,
    )


def render(
    scene: Annotated[Path, tyro.conf.Positional],
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])],
    path: str = "orbit",
    time: str | None = None,
    what: Literal["color", "depth", "normal", "alpha", "bones"] = "color",
    size: str | None = None,
    fps: float | None = None,
    seconds: float | None = None,
    background: str = "white",
    layer: tyro.conf.UseAppendAction[tuple[str, ...]] = (),
    supersample: int = 1,
    elevation: float | None = None,
    turns: float | None = None,
    start: float = 0.0,
    distance: float = 1.0,
    dolly_zoom: bool = False,
    raw: bool = False,
    base: bool = False,
    depth_range: str | None = None,
    backend: Literal["auto", "reference", "cpu", "cuda", "gsplat"] = "auto",
    overwrite: bool = False,
    quiet: bool = False,
) -> None:
    """Draw a scene with its edits from anywhere, at any time, as a video, a picture or a folder of pictures.

    Args:
        scene: the scene folder, NAME.r4d.
        output: NAME.mp4 is a video, NAME.png one picture, a name without suffix a folder of pictures and cameras.
        path: orbit (around the subject), input (the scene's own cameras), spiral, dolly (a push-in), bullet-time (time
            stands still), or a .json file of cameras.
        time: all (the default), a moment in seconds, slow:0.25, or a range of seconds as 0.5:2.
        what: kind of picture.
        size: WIDTHxHEIGHT in pixels; that of the input cameras by default.
        fps: frames a second of the video.
        seconds: length of the video.
        background: white, black, grey, RRGGBB, or transparent (PNG only).
        layer: draw this layer only; may be given several times.
        supersample: each pixel is the mean of so many times so many.
        elevation: of an orbit, degrees above the horizon; that of the input cameras by default.
        turns: how often around; below 0 the other way.
        start: where an orbit begins, degrees from the first input camera's side.
        distance: of an orbit or spiral, as a factor on that of the input cameras.
        dolly_zoom: a dolly that keeps the subject's size.
        raw: depth into a folder as 16-bit numbers.
        base: the scene without its edits.
        depth_range: NEAR:FAR of the colours of depth, scene units; found from the clip by default.
        backend: rasterizer.
        overwrite: replace what is there.
        quiet: print nothing but errors.
    """
    from recon4d.cli.render import RenderOptions, render_scene

    options = RenderOptions(
        path=path,
        time=time,
        what=what,
        size=size,
        fps=fps,
        seconds=seconds,
        background=background,
        layers=layer,
        supersample=supersample,
        elevation=elevation,
        turns=turns,
        start=start,
        distance=distance,
        dolly_zoom=dolly_zoom,
        raw=raw,
        base=base,
        depth_range=depth_range,
        backend=backend,
        overwrite=overwrite,
    )
    render_scene(scene, output, options, quiet=quiet)


def export(
    scene: Annotated[Path, tyro.conf.Positional],
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])],
    to: str = "glb",
    at: float | None = None,
    fps: float | None = None,
    layer: tyro.conf.UseAppendAction[tuple[str, ...]] = (),
    objects_only: bool = False,
    faces: int = 20_000,
    texture: str = "1024",
    frames: Path | None = None,
    fill_holes: bool = False,
    morph: bool = False,
    skin_limit: float = 0.02,
    overwrite: bool = False,
    quiet: bool = False,
) -> None:
    """Write a scene for other programs: animated meshes, splats, cameras, depth and more. Edits are applied.

    Args:
        scene: the scene folder, NAME.r4d.
        output: the file or folder to write.
        to: the format; docs/export.md has all of them.
        at: one moment, in seconds, instead of the whole clip.
        fps: moments a second; the scene's own frames by default.
        layer: write this layer only; may be given several times.
        objects_only: leave out the background.
        faces: triangles of each mesh, at most.
        texture: side of the texture in pixels, or vertex for vertex colours.
        frames: the input that the scene was made from, to take textures from: a video, images or a data set; found
            where it lies beside the scene.
        fill_holes: close holes in meshes.
        morph: a flip-book of shapes instead of bones.
        skin_limit: RMS error of bones, as a share of the subject's size, from which a flip-book is written instead.
        overwrite: replace what is there.
        quiet: print nothing but errors.
    """
    from recon4d.cli.export import write_export
    from recon4d.export.request import ExportRequest

    request = ExportRequest(
        path=output,
        at=at,
        fps=fps,
        layers=layer,
        objects_only=objects_only,
        faces=faces,
        frames=frames,
        fill_holes=fill_holes,
        morph=morph,
        skin_limit=skin_limit,
        overwrite=overwrite,
    )
    write_export(scene, to, texture, request, quiet=quiet)


def edit(
    scene: Annotated[Path | None, tyro.conf.Positional] = None,
    script: Annotated[Path | None, tyro.conf.Positional] = None,
    dry_run: bool = False,
    replace: bool = False,
    undo: bool = False,
    redo: bool = False,
    list: bool = False,
    remove: str | None = None,
    enable: str | None = None,
    disable: str | None = None,
    move: tuple[str, str] | None = None,
    rename: tuple[str, str] | None = None,
    group: tuple[str, ...] | None = None,
    text: str | None = None,
    model: Path | None = None,
    schema: bool = False,
    quiet: bool = False,
) -> None:
    """Edit a scene by a script, without changing its base; or undo, redo, and list edits.

    Args:
        scene: the scene folder, NAME.r4d.
        script: a JSON file of edits, which come on top of those that are there; docs/editing.md has all kinds.
        dry_run: check and say what would come of it, write nothing.
        replace: the script takes the place of all edits that are there.
        undo: take the last change of the edits back.
        redo: make what was undone again.
        list: show the edits.
        remove: id of an edit to take out.
        enable: id of an edit, or name of a group, to enable.
        disable: id of an edit, or name of a group, to disable.
        move: id of an edit and its new place: a number as in the list, before:ID or after:ID.
        rename: id of an edit and its new name.
        group: name of a group and ids of the edits to put in it; the name "" takes them out of theirs.
        text: say in words what to do; a model turns it into one edit.
        model: for --text: folder of the weights of a CLIP.
        schema: print the JSON schema of scripts.
        quiet: print nothing but errors.
    """
    from recon4d.cli.edit import EditOptions, edit_scene, print_schema

    if schema:
        print_schema()
        return
    if scene is None:
        raise InputError("scene", expected="the scene folder, NAME.r4d", got="none", fix="see recon4d edit --help")
    changes = (remove, enable, disable, move, rename, group)
    options = EditOptions(dry_run, replace, undo, redo, list, *changes, text, model)
    edit_scene(scene, script, options, quiet=quiet)


def view(
    scene: Annotated[Path, tyro.conf.Positional],
    host: str = "127.0.0.1",
    port: int = 8080,
    input: Path | None = None,
    memory: int = 512,
    open: bool = False,
    quiet: bool = False,
) -> None:
    """Look at a scene and edit it in a web browser.

    Args:
        scene: the scene folder, NAME.r4d.
        host: address to bind to; 127.0.0.1 is this machine only, 0.0.0.0 all networks. Only browsers with a link get
            in, and a link works once.
        port: port; the next free one where it is taken.
        input: the film, folder of images or data set that the scene was made from, for comparisons; looked for beside
            the scene by default.
        memory: megabytes of frames that are kept ready.
        open: open the page in your browser.
        quiet: print nothing but the link.
    """
    from recon4d.cli.view import view_scene

    view_scene(scene, host=host, port=port, input_path=input, memory_mb=memory, open_browser=open, quiet=quiet)


def import_mesh(
    scene: Annotated[Path, tyro.conf.Positional],
    edited: Annotated[Path, tyro.conf.Positional],
    original: Path,
    layer: str | None = None,
    painted: Path | None = None,
    quiet: bool = False,
) -> None:
    """Bring an exported mesh back that was changed in another program: as an edit, through the whole clip.

    Args:
        scene: the scene folder, NAME.r4d.
        edited: the changed mesh, .glb or .obj, with the same vertices.
        original: the .glb as recon4d export wrote it.
        layer: which layer's mesh it is, where the file has several.
        painted: an image that replaces the texture.
        quiet: print nothing but errors.
    """
    from recon4d.cli.import_mesh import import_mesh as bring_back

    bring_back(scene, edited, original=original, layer=layer, painted=painted, quiet=quiet)


COMMANDS: dict[str, Callable[..., None]] = {
    "backends": backends,
    "demo": demo,
    "edit": edit,
    "evaluate": evaluate,
    "export": export,
    "import-mesh": import_mesh,
    "info": info,
    "reconstruct": reconstruct,
    "render": render,
    "synthesize": synthesize,
    "view": view,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    0 is success, 2 an error that the user can mend (printed as one line), 130 an interrupt (Ctrl-C), 141 a reader that
    closed the pipe.  Anything else that goes wrong is a bug and shows its traceback.

    Args:
        arguments: what follows the program's name; sys.argv's where None.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = _run(arguments)
        # A closed pipe shows itself when the last lines are written, which must not happen after the handler below.
        sys.stdout.flush()
    except Recon4dError as error:
        print("recon4d: " + " ".join(str(error).split()), file=sys.stderr)
        return EXIT_ERROR
    except KeyboardInterrupt as interrupt:
        print(f"recon4d: {interrupt}" if interrupt.args else "recon4d: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # `recon4d info x.r4d | head` is no error.  The interpreter flushes stdout once more on its way out, so it gets
        # somewhere to write to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    except OSError as error:
        if error.errno not in _DISK_ERRORS:
            raise
        print(f"recon4d: {error.filename or 'the disk'}: {error.strerror}. Fix: choose another place", file=sys.stderr)
        return EXIT_ERROR
    return code


def _run(arguments: list[str]) -> int:
    if arguments == ["--version"]:
        print(f"recon4d {recon4d.__version__}")
        return 0
    application = tyro.extras.SubcommandApp()
    for name, command in COMMANDS.items():
        application.command(name=name)(command)
    try:
        application.cli(args=arguments or ["--help"], prog="recon4d", description=recon4d.__doc__)
    except SystemExit as stop:
        # tyro leaves this way after printing a help text (0) or a wrong argument (2).
        return stop.code if isinstance(stop.code, int) else EXIT_ERROR
    return 0

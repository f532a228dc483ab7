"""Encodes a video to a smaller file that a player can start before it has all of it."""

from darkroom.av.inputs import choose_demuxer, input_arguments
from darkroom.av.probe import check_duration, check_frame_size, probe
from darkroom.av.truncation import check_structure
from darkroom.contracts.operations import Operation
from darkroom.contracts.video_params import VideoCompressParams
from darkroom.jobs.worker import bind
from darkroom.media.task import Rendition, Task
from functions.video_compress import rate_control
from functions.video_compress.output_check import StreamLocation, check_output
from functions.video_compress.plan import fit_size, make_plan


def video_compress(task: Task, params: VideoCompressParams) -> list[Rendition]:
    """One video: upright, with square pixels, never larger than the source, with its default audio track.

    Keeps chapters and the tags that describe the content. Drops data streams, cover images, all other tags and, unless
    they are requested, subtitles.
    """
    demuxer = choose_demuxer(task.source)
    source = task.source.download()
    check_structure(source, demuxer)
    found = probe(str(source), demuxer, task)
    size = fit_size(check_frame_size(found.video_stream(), task.limits), params.max_height, params.max_width)
    check_duration(found, task.limits)

    opening = input_arguments(str(source), demuxer, max_pixels=task.limits.pixels)
    plan = make_plan(found, params, size, opening, demuxer, task)
    container = plan.encoder.container
    target, report = task.directory / f"video_compress.{container.suffix}", None
    if params.target_ssim is not None:
        report = rate_control.encode_to_ssim(plan, params.target_ssim, target, task)
    elif params.max_bytes is not None:
        rate_control.encode_to_size(plan, params.max_bytes, target, task)
    elif params.bitrate_kbps is not None:
        rate_control.encode_to_bit_rate(plan, params.bitrate_kbps * 1000, target, task)
    else:
        rate_control.encode_to_crf(plan, params.crf, target, task)

    made = check_output(plan, target, StreamLocation(str(source), demuxer, plan.video), task)
    return [
        Rendition(target, container.suffix, container.media_type, *size, duration_s=made.duration_s, document=report)
    ]


handler = bind(Operation.VIDEO_COMPRESS, video_compress)

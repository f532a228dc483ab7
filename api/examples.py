"""Examples in the API's documentation: one photo, from its upload to its thumbnail."""

from typing import Any

#: Identifiers of the photo and of its job.
FILE_ID = "019ab0c4-7f3a-7c21-9d54-3f1b8e6a2c07"
JOB_ID = "019ab0c4-8b52-7e90-a3c8-5d2f7b914e60"

_RESULT_PATH = f"processed/default/{JOB_ID}/5b0c1f2d9e7a4c38/thumbnail.webp"
_DOWNLOAD_URL = f"https://store.example.com/{_RESULT_PATH}?X-Amz-Expires=3600&X-Amz-Signature=…"

FILE: dict[str, Any] = {
    "file_id": FILE_ID,
    "name": "harbor.jpg",
    "status": "ready",
    "size_bytes": 2_417_663,
    "media_type": "image/jpeg",
    "kind": "image",
    "error": None,
    "expires_at": None,
    "link_id": None,
}

UPLOAD_REQUEST: dict[str, Any] = {
    "name": "harbor.jpg",
    "media_type": "image/jpeg",
    "size_bytes": 2_417_663,
    "jobs": [{"operation": "thumbnail", "params": {"width": 300, "height": 300, "format": "webp"}}],
}

UPLOAD: dict[str, Any] = {
    "file_id": FILE_ID,
    "upload": {
        "method": "POST",
        "url": "https://store.example.com/",
        "fields": {
            "Content-Type": "image/jpeg",
            "x-amz-meta-name": "harbor.jpg",
            "key": f"uploads/default/{FILE_ID}",
            "policy": "eyJleHBpcmF0aW9uIjog…",
            "x-amz-signature": "9f31c0…",
        },
        "expires_at": "2026-03-01T10:30:00.000Z",
        "max_bytes": 2_417_663,
    },
    "jobs": [
        {
            "job_id": JOB_ID,
            "operation": "thumbnail",
            "status": "queued",
            "waiting_for": "upload",
            "status_url": f"/jobs/{JOB_ID}",
        }
    ],
}

_QUEUED_SUMMARY: dict[str, Any] = {
    "job_id": JOB_ID,
    "status": "queued",
    "operation": "thumbnail",
    "file_id": FILE_ID,
    "waiting_for": None,
    "attempt": 0,
    "progress": 0.0,
    "speed": None,
    "remaining_s": None,
    "created_at": "2026-03-01T09:30:03.090Z",
    "started_at": None,
    "finished_at": None,
    "result_path": None,
    "error": None,
    "retry_of": None,
    "link_id": None,
    "status_url": f"/jobs/{JOB_ID}",
}

SUMMARY = _QUEUED_SUMMARY | {
    "status": "completed",
    "attempt": 1,
    "progress": 1.0,
    "started_at": "2026-03-01T09:30:03.127Z",
    "finished_at": "2026-03-01T09:30:03.208Z",
    "result_path": _RESULT_PATH,
}

JOB_PAGE: dict[str, Any] = {"jobs": [SUMMARY], "next": f"/jobs?limit=1&before={JOB_ID}"}

QUEUED_JOB = _QUEUED_SUMMARY | {
    "params": {"width": 300, "height": 300, "format": "webp", "quality": 80},
    "source": {"type": "file", "file_id": FILE_ID},
    "priority": "normal",
    "download_url": None,
    "outputs": [],
    "document": None,
    "queue_position": None,
    "errors": [],
    "timeline": [{"event": "accepted", "at": "2026-03-01T09:30:03.090Z", "attempt": 0}],
}

JOB = (
    QUEUED_JOB
    | SUMMARY
    | {
        "download_url": _DOWNLOAD_URL,
        "outputs": [
            {
                "name": "harbor-thumbnail.webp",
                "path": _RESULT_PATH,
                "media_type": "image/webp",
                "size_bytes": 18_204,
                "sha256": "4c0e7f4d2b0a1c8e5f6a3d9b7e2c1f0a8d5b4c3e6f7a9b0c1d2e3f4a5b6c7d8e",
                "width_px": 300,
                "height_px": 300,
                "duration_s": None,
                "download_url": _DOWNLOAD_URL,
            }
        ],
        "timeline": [
            {"event": "accepted", "at": "2026-03-01T09:30:03.090Z", "attempt": 0},
            {"event": "dispatched", "at": "2026-03-01T09:30:03.112Z", "attempt": 1},
            {"event": "claimed", "at": "2026-03-01T09:30:03.127Z", "attempt": 1},
            {"event": "uploaded", "at": "2026-03-01T09:30:03.201Z", "attempt": 1},
            {"event": "completed", "at": "2026-03-01T09:30:03.208Z", "attempt": 1},
        ],
    }
)

LINK_ID = "acme-7q2xk4mzt5ba"

UPLOAD_LINK_REQUEST: dict[str, Any] = {
    "expires_in_s": 3600,
    "max_bytes": 20_000_000,
    "max_files": 5,
    "media_types": ["image/*"],
    "jobs": [{"operation": "thumbnail", "params": {"width": 300, "height": 300, "format": "webp"}}],
}

UPLOAD_LINK_SUMMARY: dict[str, Any] = {
    "link_id": LINK_ID,
    "state": "active",
    "created_at": "2026-03-01T09:30:00.000Z",
    "expires_at": "2026-03-01T10:30:00.000Z",
    "revoked_at": None,
    "max_bytes": 20_000_000,
    "max_files": 5,
    "files_used": 1,
    "media_types": ["image/*"],
    "jobs": [{"operation": "thumbnail", "params": {"width": 300, "height": 300, "format": "webp"}}],
}

UPLOAD_LINK = UPLOAD_LINK_SUMMARY | {"file_ids": [FILE_ID]}

#: The secret is left out, so that no scanner takes it for one.
ISSUED_UPLOAD_LINK = UPLOAD_LINK | {"files_used": 0, "file_ids": [], "token": f"dl_live_{LINK_ID}_…"}

UPLOAD_LINK_PAGE: dict[str, Any] = {
    "links": [UPLOAD_LINK_SUMMARY],
    "next": f"/upload-links?limit=1&after={LINK_ID}",
}

HEALTH: dict[str, Any] = {
    "status": "ok",
    "parts": {
        "cache": {"status": "ok", "detail": "The status cache is available.", "latency_ms": 0.6},
        "broker": {"status": "ok", "detail": "The message broker is available.", "latency_ms": 9.8},
        "storage": {"status": "ok", "detail": "The object store is available.", "latency_ms": 4.2},
    },
}

USAGE: dict[str, Any] = {
    "tenant": "acme",
    "month": "2026-03",
    "is_complete": True,
    "quotas": {
        "requests": {"limit": 500, "used": 3, "window_s": 10},
        "queued_jobs": {"limit": 2_000, "used": 12},
        "in_flight_jobs": {"limit": None, "used": {"thumbnail": 4}},
        "upload_bytes": {"limit": None},
        "stored_bytes": {
            "limit": 107_374_182_400,
            "used": 23_817_044_123,
            "reserved": 2_417_663,
            "by_day": {"2026-02-28": 21_350_000_000, "2026-03-01": 2_464_626_460},
        },
        "monthly_jobs": {"limit": 100_000, "used": 1_204, "resets_at": "2026-04-01T00:00:00.000Z"},
        "monthly_video_minutes": {"limit": 10_000, "used": 318.52, "resets_at": "2026-04-01T00:00:00.000Z"},
    },
}

QUOTAS: dict[str, Any] = {"requests_per_s": 100, "jobs_per_month": 500_000, "video_minutes_per_month": None}

TENANT_REQUEST: dict[str, Any] = {"name": "acme", "title": "ACME Corporation", "quotas": QUOTAS}

TENANT_SUMMARY: dict[str, Any] = {
    "name": "acme",
    "title": "ACME Corporation",
    "status": "active",
    "created_at": "2026-03-01T09:00:00.000Z",
    "suspended_at": None,
    "deleting_at": None,
    "deleted_at": None,
    "deletion": None,
}

TENANT_PAGE: dict[str, Any] = {"tenants": [TENANT_SUMMARY], "next": "/tenants?limit=1&after=acme"}

TENANT = TENANT_SUMMARY | {
    "quotas": {
        "requests_per_s": 100,
        "queued_jobs": 2_000,
        "in_flight_jobs": None,
        "upload_bytes": None,
        "stored_bytes": 107_374_182_400,
        "jobs_per_month": 500_000,
        "video_minutes_per_month": None,
    },
    "overridden": ["jobs_per_month", "requests_per_s", "video_minutes_per_month"],
    "quotas_problem": None,
}

#: Identifier of a key of the tenant.
KEY_ID = "acme-7q2xk4mzt5ba"

KEY_REQUEST: dict[str, Any] = {
    "name": "web shop",
    "scopes": ["read", "write"],
    "expires_at": "2027-03-01T00:00:00Z",
}

KEY: dict[str, Any] = {
    "key_id": KEY_ID,
    "tenant": "acme",
    "name": "web shop",
    "scopes": ["read", "write"],
    "state": "active",
    "created_at": "2026-03-01T09:05:00.000Z",
    "expires_at": "2027-03-01T00:00:00Z",
    "revoked_at": None,
    "last_used_at": "2026-03-01T09:30:03.000Z",
    "replaced_until": None,
}

ISSUED_KEY = KEY | {"last_used_at": None, "key": f"dk_live_{KEY_ID}_…"}

KEY_PAGE: dict[str, Any] = {"keys": [KEY], "next": f"/tenants/acme/keys?limit=1&after={KEY_ID}"}

"""Flower: watch tasks and workers. Loopback only, with the admin's login; behind a proxy, under
FLOWER_URL_PREFIX."""

from tasks.worker import celery, settings

MAX_TASKS = 5000


def main() -> None:
    if settings.admin_password is None:
        raise SystemExit("Flower needs ADMIN_PASSWORD: it is what people sign in with.")
    options = [
        "--address=127.0.0.1",
        f"--port={settings.flower_port}",
        f"--basic-auth={settings.admin_username}:{settings.admin_password}",
        f"--max-tasks={MAX_TASKS}",
        "--purge-offline-workers=60",
        "--logging=warning",
    ]
    if settings.flower_url_prefix:
        options.append(f"--url-prefix={settings.flower_url_prefix}")
    # In-process, so that the password is on no command line.
    celery.start(["flower", *options])


if __name__ == "__main__":
    main()

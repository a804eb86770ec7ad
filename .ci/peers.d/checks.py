"""The checks of a script: a line for each, and their counts."""
import shutil, sys

_counts = {'passed': 0, 'failed': 0}


def check(name, wanted, got):
    if wanted == got:
        _counts['passed'] += 1
        print('ok     ', name, flush=True)
    else:
        _counts['failed'] += 1
        print(f'FAILED  {name}: wanted {str(wanted)[:400]!r}, got {str(got)[:400]!r}', flush=True)


def run_all(title, parts, work):
    """Calls each part, removes the folder `work`, and exits with the number of failed checks, at most 100."""
    try:
        for part in parts:
            try:
                part()
            except Exception as error:
                check(part.__name__, 'no exception', repr(error))
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(f'{title}: {_counts["passed"]} passed, {_counts["failed"]} failed')
    sys.exit(min(_counts['failed'], 100))

"""
usage: ./dev down

Ends what `./dev up` started in this checkout, by process id, and nothing else. Data, users and certificates below .run/ stay.
"""
import house
import parts
from house import say


def main():
    house.arguments(__doc__).parse_args()
    with house.only_one():
        ended = [part.name for part in reversed(parts.stack(parts.saved_ports())) if part.stop()]
    say(f"ended: {', '.join(ended)}" if ended else "nothing ran")
    return house.PASSED


if __name__ == "__main__":
    house.main(main)

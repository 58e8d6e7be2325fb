# What the shell parts of ./dev share: where things are, how to speak, the system's hash. To be sourced.

CW_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CW_RUN=$CW_ROOT/.run
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive

say() { printf '%s\n' "$*"; }
step() { printf '\n== %s\n' "$*"; }

# fail WHAT REMEDY: the step that failed and what to do, then exit 1.
fail() {
    printf '\nfailed: %s\n' "$1" >&2
    [ -z "${2:-}" ] || printf 'what to do: %s\n' "$2" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# retry TIMES COMMAND…: registries have bad moments.
retry() {
    local times=$1 n=1
    shift
    until "$@"; do
        [ "$n" -lt "$times" ] || return 1
        say "  attempt $n of $times failed; again in $((n * 5)) s"
        sleep $((n * 5))
        n=$((n + 1))
    done
}

# packages GROUP…: the packages of these groups (all groups without an argument) that this machine should have.
packages() {
    local group package unless command
    while read -r group package unless command _; do
        case $group in '' | '#'*) continue ;; esac
        [ $# = 0 ] || [[ " $* " == *" $group "* ]] || continue
        if [ "$unless" = unless ] && command -v "$command" > /dev/null; then continue; fi
        printf '%s\n' "$package"
    done < "$CW_ROOT/scripts/packages.txt"
}

# system_hash GROUP…: of the versions of these groups' packages. Bazel does not see the system's headers and tools; the hash is
# in every action's environment instead (docs/decisions/0001-bazel-offline.md).
system_hash() {
    # shellcheck disable=SC2046
    (dpkg-query -W -f '${Package} ${Version} ${Status}\n' $(packages "$@") 2> /dev/null || true) | sort | sha256sum | cut -c1-16
}

# Bazel's own folder, for whom it cannot lie below a home folder that has a blank in its name.
output_without_blanks() {
    local root
    root=/var/tmp/clinicwave-bazel-$(id -u)
    mkdir -p -m 700 "$root"
    [ -O "$root" ] && [ ! -L "$root" ] || fail "$root belongs to somebody else" "remove it"
    printf '%s\n' "$root"
}

# Written where .bazelrc imports it, so that a plain `bazel` and ./dev share one cache.
write_system_bazelrc() {
    local building testing cache root="" file=$CW_RUN/system.bazelrc
    local new=$file.new.$$ # two may write at once
    building=$(system_hash build run clang) # another browser compiles nothing anew
    testing=$(system_hash)
    cache=${CW_CACHE:-$HOME/.cache/clinicwave}/bazel
    mkdir -p "$CW_RUN" "$cache"
    case $HOME in *[[:space:]]*) root=$(output_without_blanks) || exit 1 ;; esac
    {
        echo "# Written by ./dev; see scripts/lib.sh."
        [ -z "$root" ] || echo "startup --output_user_root=$root"
        echo "build --action_env=CW_SYSTEM=$building --repo_env=CW_SYSTEM=$building \"--disk_cache=$cache\""
        echo "build --test_env=CW_SYSTEM=$testing"
    } > "$new"
    if cmp -s "$new" "$file"; then rm "$new"; else mv "$new" "$file"; fi
}

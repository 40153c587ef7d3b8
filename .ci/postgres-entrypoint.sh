#!/bin/bash
# The entry point of the image that .ci/docker-image makes. Keeps the contract of the official `postgres` image.
set -euo pipefail

fail() {
    printf 'postgres-entrypoint: error: %s\n' "$*" >&2
    exit 1
}

# setting NAME DEFAULT: exports NAME, from NAME itself, from the file that NAME_FILE names, or from DEFAULT.
setting() {
    local name=$1 file="${1}_FILE" value=$2
    [[ -z ${!name:-} || -z ${!file:-} ]] || fail "both $name and $file are set"
    if [[ -n ${!name:-} ]]; then
        value=${!name}
    elif [[ -n ${!file:-} ]]; then
        value=$(<"${!file}")
    fi
    export "$name=$value"
    unset "$file"
}

sql() {
    psql -v ON_ERROR_STOP=1 --no-password --no-psqlrc --host /var/run/postgresql --username "$POSTGRES_USER" "$@"
}

run_init_files() {
    local file
    for file in /docker-entrypoint-initdb.d/*; do
        case "$file" in
        *.sh)
            echo "postgres-entrypoint: running $file"
            # shellcheck source=/dev/null
            if [[ -x $file ]]; then "$file"; else . "$file"; fi
            ;;
        *.sql)
            echo "postgres-entrypoint: running $file"
            sql --dbname "$POSTGRES_DB" --file "$file"
            ;;
        *) [[ ! -e $file ]] || echo "postgres-entrypoint: ignoring $file" ;;
        esac
    done
}

initialise() {
    setting POSTGRES_PASSWORD ''
    setting POSTGRES_USER postgres
    setting POSTGRES_DB "$POSTGRES_USER"
    setting POSTGRES_INITDB_ARGS ''
    setting POSTGRES_HOST_AUTH_METHOD ''
    [[ -n $POSTGRES_PASSWORD || $POSTGRES_HOST_AUTH_METHOD == trust ]] || fail \
        "Database is uninitialized and superuser password is not specified. You must specify POSTGRES_PASSWORD \
to a non-empty value for the superuser, or POSTGRES_HOST_AUTH_METHOD=trust to allow all connections without one."

    # The arguments are a list of words, as in the official image.
    local arguments=()
    read -r -a arguments <<<"$POSTGRES_INITDB_ARGS"
    initdb --pgdata "$PGDATA" --username "$POSTGRES_USER" --pwfile <(printf '%s\n' "$POSTGRES_PASSWORD") \
        "${arguments[@]}"
    : "${POSTGRES_HOST_AUTH_METHOD:=$(postgres -C password_encryption -D "$PGDATA")}"
    printf '\nhost all all all %s\n' "$POSTGRES_HOST_AUTH_METHOD" >>"$PGDATA/pg_hba.conf"

    # A first server, on the socket only: nobody from outside can take it for the real one.
    export PGPASSWORD=$POSTGRES_PASSWORD
    pg_ctl --pgdata "$PGDATA" --options "-c listen_addresses='' -p 5432" --wait start
    if [[ $POSTGRES_DB != postgres ]]; then
        # psql's variables are not replaced in --command
        sql --dbname postgres --set db="$POSTGRES_DB" <<<'CREATE DATABASE :"db";'
    fi
    run_init_files
    pg_ctl --pgdata "$PGDATA" --mode fast --wait stop
    unset PGPASSWORD
    printf '\nPostgreSQL init process complete; ready for start up.\n\n'
}

[[ ${1:-} != -* ]] || set -- postgres "$@"

if [[ ${1:-} == postgres ]]; then
    if [[ $(id -u) == 0 ]]; then
        mkdir -p "$PGDATA" /var/run/postgresql
        chmod 700 "$PGDATA"
        chmod 3777 /var/run/postgresql
        find "$PGDATA" /var/run/postgresql \! -user postgres -exec chown postgres '{}' +
        exec setpriv --reuid postgres --regid postgres --init-groups -- "$0" "$@"
    fi
    if [[ -s $PGDATA/PG_VERSION ]]; then
        printf '\nPostgreSQL Database directory appears to contain a database; Skipping initialization\n\n'
    else
        initialise
    fi
fi

exec "$@"

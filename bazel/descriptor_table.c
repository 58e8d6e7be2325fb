/* Turns a FileDescriptorSet into a C table {file name, bytes, length}: the data of gRPC server
 * reflection. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIELD_1_BYTES = 0x0a };

/* Reads `0a LEN bytes` at *at; 0 at the end. */
static int next_field(const uint8_t **at, const uint8_t *end, const uint8_t **ret_p, size_t *ret_n)
{
    if (*at == end || **at != FIELD_1_BYTES) {
        return 0;
    }
    const uint8_t *p = *at + 1;
    size_t n = 0;
    int shift = 0;
    while (p < end && (*p & 0x80) && shift < 28) {
        n |= (size_t)(*p++ & 0x7f) << shift;
        shift += 7;
    }
    if (p == end) {
        return 0;
    }
    n |= (size_t)*p++ << shift;
    if (n > (size_t)(end - p)) {
        return 0;
    }
    *ret_p = p;
    *ret_n = n;
    *at = p + n;
    return 1;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: descriptor_table SET SYMBOL\n");
        return 64;
    }
    FILE *f = fopen(argv[1], "rb");
    if (!f) {
        perror(argv[1]);
        return 1;
    }
    static uint8_t set[4 << 20];
    size_t size = fread(set, 1, sizeof set, f);
    fclose(f);
    if (size == sizeof set) {
        fprintf(stderr, "%s: larger than this table's buffer\n", argv[1]);
        return 1;
    }

    printf("#include \"common/rpc/descriptors.h\"\n\n");
    printf("const struct cw_rpc_descriptor %s[] = {\n", argv[2]);
    const uint8_t *at = set, *end = set + size, *file, *name;
    size_t file_n, name_n;
    while (next_field(&at, end, &file, &file_n)) {
        const uint8_t *inner = file;
        if (!next_field(&inner, file + file_n, &name, &name_n)) {
            fprintf(stderr, "%s: a file without a name\n", argv[1]);
            return 1;
        }
        printf("    {\"%.*s\", (const unsigned char *)\"", (int)name_n, (const char *)name);
        for (size_t i = 0; i < file_n; i++) {
            printf("\\%03o", file[i]);
        }
        printf("\", %zu},\n", file_n);
    }
    printf("    {0, 0, 0},\n};\n");
    return 0;
}

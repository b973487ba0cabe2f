package tfpwl.bundle;

import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import tfpwl.IntegrityException;

/**
 * The directory of a packed bundle, read with the rules of Python's {@code tfpwl/bundle/archive.py}: a stored zip,
 * members one after another without gap or overlap, data at multiples of 16 KiB, no zip64, encryption, descriptors or
 * comments. {@link java.util.zip.ZipFile} is no choice: it opens paths only, tells no offsets and takes far more.
 */
final class PackDirectory {
    static final String PACK_AGAIN = "Copy the pack again, or make it again with `tfpwl pack`.";
    private static final int PAGE = 1 << 14;
    private static final int LOCAL_SIZE = 30;
    private static final int CENTRAL_SIZE = 46;
    private static final int END_SIZE = 22;
    private static final int LOCAL_MARK = 0x04034b50;
    private static final int CENTRAL_MARK = 0x02014b50;
    private static final int END_MARK = 0x06054b50;
    private static final int MAX_MEMBERS = 4096;
    private static final int MAX_DIRECTORY_BYTES = 1 << 20;

    /** Where a file's data lie in the pack; {@code crc} as the zip has it. */
    static final class Member {
        final String name;
        final long header;
        final long start;
        final long size;
        final long crc;

        Member(String name, long header, long start, long size, long crc) {
            this.name = name;
            this.header = header;
            this.start = start;
            this.size = size;
            this.crc = crc;
        }
    }

    private final String pack;
    private final FileChannel channel;
    private final long offset;
    private final long size;

    PackDirectory(String pack, FileChannel channel, long offset, long size) {
        this.pack = pack;
        this.channel = channel;
        this.offset = offset;
        this.size = size;
    }

    /** Members by name. */
    Map<String, Member> read() {
        if (size < END_SIZE) {
            throw broken("has " + size + " bytes, too few for a zip");
        }
        ByteBuffer end = readAt(size - END_SIZE, END_SIZE);
        if (end.getInt(0) != END_MARK) {
            throw broken("does not end as a zip without a comment does; it may be cut short");
        }
        int here = u16(end, 8);
        int total = u16(end, 10);
        if (u16(end, 4) != 0 || u16(end, 6) != 0 || u16(end, 20) != 0 || here != total || total < 1
                || total > MAX_MEMBERS) {
            throw broken("the zip's end tells of " + total + " members, several disks or a comment");
        }
        long length = u32(end, 12);
        long start = u32(end, 16);
        if (length > MAX_DIRECTORY_BYTES || start + length != size - END_SIZE) {
            throw broken("the zip's directory does not stand right before its end");
        }
        Map<String, Member> members = parse(readAt(start, (int) length), total);
        checkLayout(members, start);
        return members;
    }

    private Map<String, Member> parse(ByteBuffer data, int total) {
        Map<String, Member> members = new LinkedHashMap<String, Member>();
        Set<String> seen = new HashSet<String>();
        int at = 0;
        for (int i = 0; i < total; i++) {
            if (data.limit() - at < CENTRAL_SIZE) {
                throw broken("the zip's directory is cut short");
            }
            int nameLength = u16(data, at + 28);
            if (data.limit() - at - CENTRAL_SIZE < nameLength) {
                throw broken("the zip's directory is cut short");
            }
            String name = ascii(data, at + CENTRAL_SIZE, nameLength);
            if (data.getInt(at) != CENTRAL_MARK || !ManifestReader.isPlainName(name)) {
                throw broken("the zip's directory has a broken entry or the name '" + Node.shorten(name)
                        + "'; expected plain names");
            }
            long packed = u32(data, at + 20);
            // Flags, method, extra field, comment, disk.
            if (u16(data, at + 8) != 0 || u16(data, at + 10) != 0 || packed != u32(data, at + 24)
                    || u16(data, at + 30) != 0 || u16(data, at + 32) != 0 || u16(data, at + 34) != 0) {
                throw broken(name + " is compressed, encrypted or carries extra fields; expected it stored as it is");
            }
            if (!seen.add(name.toLowerCase(Locale.ROOT))) {
                throw broken(name + " stands twice in the zip");
            }
            members.put(name, member(name, u32(data, at + 42), u32(data, at + 16), packed));
            at += CENTRAL_SIZE + nameLength;
        }
        if (at != data.limit()) {
            throw broken("the zip's directory holds more than its entries");
        }
        return members;
    }

    private Member member(String name, long header, long crc, long bytes) {
        ByteBuffer local = readAt(header, LOCAL_SIZE + name.length());
        boolean same = local.getInt(0) == LOCAL_MARK && u16(local, 6) == 0 && u16(local, 8) == 0
                && u32(local, 14) == crc && u32(local, 18) == bytes && u32(local, 22) == bytes
                && u16(local, 26) == name.length() && ascii(local, LOCAL_SIZE, name.length()).equals(name);
        if (!same) {
            throw broken(name + ": its header and the zip's directory do not agree");
        }
        long start = header + LOCAL_SIZE + name.length() + u16(local, 28);
        if (start % PAGE != 0) {
            throw broken(name + " begins at byte " + start + "; expected a multiple of " + PAGE);
        }
        return new Member(name, header, start, bytes, crc);
    }

    /** Without gaps there is no overlap, no member inside another's padding, and no bytes that nobody names. */
    private void checkLayout(Map<String, Member> members, long directory) {
        List<Member> inOrder = new ArrayList<Member>(members.values());
        Collections.sort(inOrder, new Comparator<Member>() {
            @Override
            public int compare(Member one, Member other) {
                return Long.compare(one.header, other.header);
            }
        });
        long expected = 0;
        for (Member member : inOrder) {
            if (member.header != expected) {
                throw broken(member.name + " overlaps the member before it or leaves a gap (byte " + member.header
                        + ")");
            }
            expected = member.start + member.size;
        }
        if (expected != directory) {
            throw broken("the last member ends at byte " + expected + " and the zip's directory begins at "
                    + directory);
        }
    }

    private ByteBuffer readAt(long start, int length) {
        if (start + length > size) {
            throw broken("ends " + (start + length - size) + " bytes too early");
        }
        ByteBuffer data = ByteBuffer.allocate(length).order(ByteOrder.LITTLE_ENDIAN);
        try {
            while (data.hasRemaining()) {
                if (channel.read(data, offset + start + data.position()) < 0) {
                    throw new EOFException("it ends " + data.remaining() + " bytes too early");
                }
            }
        } catch (IOException exc) {
            throw new IntegrityException(pack + ": " + exc + "; it cannot be read. " + PACK_AGAIN, exc);
        }
        data.flip();
        return data;
    }

    private IntegrityException broken(String problem) {
        return new IntegrityException(pack + ": " + problem + ". " + PACK_AGAIN);
    }

    private static int u16(ByteBuffer data, int at) {
        return data.getShort(at) & 0xffff;
    }

    private static long u32(ByteBuffer data, int at) {
        return data.getInt(at) & 0xffffffffL;
    }

    private static String ascii(ByteBuffer data, int at, int length) {
        StringBuilder text = new StringBuilder(length);
        for (int i = 0; i < length; i++) {
            byte one = data.get(at + i);
            text.append(one < 0 ? '?' : (char) one);
        }
        return text.toString();
    }
}

package tfpwl.bundle;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.util.HashMap;
import java.util.Map;
import java.util.zip.CRC32;
import tfpwl.IntegrityException;

/**
 * A packed bundle: a whole file, or a range of one, such as an uncompressed asset inside an APK.
 *
 * <p>Every member is mapped when the pack is opened, and the file is not needed any more after that: a pack that is
 * replaced on disk while an app runs goes on being the one that was opened.
 */
final class PackStore extends Store {
    private final String name;
    private final Map<String, PackDirectory.Member> members;
    private final Map<String, ByteBuffer> maps = new HashMap<String, ByteBuffer>();

    /**
     * @param channel not closed here, and not used after the constructor
     * @param offset where the pack begins in the file
     * @throws IntegrityException when the range is no pack or breaks a rule of the layout
     */
    PackStore(String name, FileChannel channel, long offset, long size) {
        this.name = name;
        this.members = new PackDirectory(name, channel, offset, size).read();
        try {
            for (PackDirectory.Member member : members.values()) {
                if (member.size > Integer.MAX_VALUE) {
                    throw broken(member.name + " has " + member.size + " bytes, more than any file of a bundle");
                }
                maps.put(member.name, member.size == 0 ? ByteBuffer.allocateDirect(0)
                        : channel.map(FileChannel.MapMode.READ_ONLY, offset + member.start, member.size));
            }
        } catch (IOException exc) {
            throw new IntegrityException(name + ": cannot be mapped: " + exc + ". "
                    + PackDirectory.PACK_AGAIN, exc);
        }
    }

    @Override
    boolean has(String file) {
        return members.containsKey(file);
    }

    @Override
    void checkSize(String file, int expected) {
        PackDirectory.Member member = member(file);
        if (member.size != expected) {
            throw broken(file + " has " + member.size + " bytes; the manifest expects " + expected);
        }
    }

    @Override
    byte[] read(String file, int limit, boolean exact) {
        PackDirectory.Member member = member(file);
        if (member.size > limit || (exact && member.size != limit)) {
            throw broken(file + " has " + member.size + " bytes; expected " + (exact ? "" : "at most ") + limit);
        }
        byte[] data = new byte[(int) member.size];
        maps.get(file).duplicate().get(data);
        CRC32 crc = new CRC32();
        crc.update(data);
        if (crc.getValue() != member.crc) {
            throw broken(file + " has another CRC-32 than the zip says");
        }
        return data;
    }

    @Override
    ByteBuffer view(String file, int size, boolean inPlace) {
        checkSize(file, size);
        ByteBuffer map = maps.get(file).duplicate().order(ByteOrder.nativeOrder());
        if (inPlace) {
            return map;
        }
        ByteBuffer copy = ByteBuffer.allocateDirect(size).order(ByteOrder.nativeOrder());
        copy.put(map);
        copy.rewind();
        return copy;
    }

    @Override
    Iterable<String> namesToCheck() {
        return members.keySet();
    }

    private PackDirectory.Member member(String file) {
        PackDirectory.Member member = members.get(file);
        if (member == null) {
            throw broken("holds no " + file + ", which the bundle needs");
        }
        return member;
    }

    private IntegrityException broken(String problem) {
        return new IntegrityException(name + ": " + problem + ". " + PackDirectory.PACK_AGAIN);
    }
}

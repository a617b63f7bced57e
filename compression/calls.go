package compression

import "nano/hostcall"

func init() {
	hostcall.Register("compressor", func(c *hostcall.Call) error {
		format, err := formatOf(c)
		if err != nil {
			return err
		}
		compressor := NewCompressor(format)
		c.ReturnObject(compressor, objectSize+compressor.Size())
		return nil
	})
	hostcall.Register("compress", compress)
	hostcall.Register("decompressor", func(c *hostcall.Call) error {
		format, err := formatOf(c)
		if err != nil {
			return err
		}
		c.ReturnObject(NewDecompressor(format), objectSize)
		return nil
	})
	hostcall.Register("decompress", decompress)
	hostcall.Register("endCompression", func(c *hostcall.Call) error {
		switch stream := c.Object(0).(type) {
		case *Compressor:
			c.Resize(0, objectSize)
			return stream.Close()
		case *Decompressor:
			c.Resize(0, objectSize)
			return stream.Close()
		}
		return hostcall.Errorf("TypeError", "no stream")
	})
}

// objectSize is what a stream holds whose state was given back.
const objectSize = 256

func formatOf(c *hostcall.Call) (Format, error) {
	format := c.Int(0)
	if format < 0 || format >= int64(formats) {
		return 0, hostcall.Errorf("TypeError", "an unknown format")
	}
	return Format(format), nil
}

// compress is the function (compressor, bytes or null, offset) -> bytes or null: a piece of the bytes, from the offset
// on, or the end of all for null; and what output there is.
func compress(c *hostcall.Call) error {
	compressor, ok := hostcall.ObjectOf[*Compressor](c, 0)
	if !ok {
		return hostcall.Errorf("TypeError", "no compressor")
	}
	var err error
	if c.IsNull(1) {
		err = compressor.Finish()
	} else {
		data := c.Bytes(1)
		data = data[min(max(c.Int(2), 0), int64(len(data))):]
		_, err = compressor.Write(data[:min(len(data), pieceBytes)])
	}
	if err != nil {
		return hostcall.Errorf("TypeError", "the data cannot be compressed: %v", err)
	}
	returnOutput(c, compressor.Take())
	c.Resize(0, objectSize+compressor.Size())
	return nil
}

// decompress is the function (decompressor, bytes or null, isEnd) -> bytes or null: takes input, and gives a piece of
// output, if there is one. Without bytes it is to be called again.
func decompress(c *hostcall.Call) error {
	decompressor, ok := hostcall.ObjectOf[*Decompressor](c, 0)
	if !ok {
		return hostcall.Errorf("TypeError", "no decompressor")
	}
	output, err := decompressor.Next(c.Bytes(1))
	isBusy := decompressor.IsBusy()
	if err == nil && len(output) == 0 && !isBusy && c.Bool(2) {
		err = decompressor.Finish()
	}
	if err != nil {
		_ = decompressor.Close() // never an error
		c.Resize(0, objectSize)
		return hostcall.Errorf("TypeError", "The compressed data was not valid: %v.", err)
	}
	if isBusy {
		c.ReturnBytes(nil)
	} else {
		returnOutput(c, output)
	}
	c.Resize(0, objectSize+decompressor.Size())
	return nil
}

func returnOutput(c *hostcall.Call, output []byte) {
	if len(output) == 0 {
		c.ReturnNull()
	} else {
		c.ReturnBytes(output)
	}
}

package listen

func descriptors() int { return manyDescriptors } // Windows has no such limit
